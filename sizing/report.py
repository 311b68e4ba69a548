"""What `show` says of a spec: its size, the key that it comes from, and the builds behind it, as text. Pure."""

import datetime as dt
from collections.abc import Iterator, Sequence

from sizing.builds import Build
from sizing.fit import Fit
from sizing.quantities import in_gib
from sizing.size_table import Row


def as_text(fitted: Fit, keys: Sequence[str], builds: Sequence[Build], *, most: int | None = None) -> str:
    """Return the report: the size, the chain of keys, a line for each build, or for the newest `most`, the newest last."""
    chosen = next((key for key in keys if key in fitted.rows), None)
    row = fitted.rows[chosen] if chosen else None
    lines = [f"{keys[0]}: {size_in_words(row)}" if row else f"{keys[0]}: nothing is known; the driver's settings count", ""]
    lines += _aligned([["key", "builds", "size"], *_chain(fitted, keys, builds, chosen)])
    shown = builds[-most:] if most else builds
    lines += ["", *_aligned([_HEAD, *map(_build, shown)])] if shown else ["", "no builds of this package"]
    lines += [f"… and {len(builds) - len(shown):,} builds before"] if len(builds) > len(shown) else []
    return "\n".join(lines) + "\n"


def size_in_words(row: Row) -> str:
    """Return `memory 12.0 GiB, after kills 24.0 GiB, 48.0 GiB; CPU 3.4 cores; 4 jobs; 7 min, 9 of 10 within 11 min`."""
    parts = [f"memory {in_gib(row.memory_bytes)}"] if row.memory_bytes else []
    if row.ladder_memory_bytes:
        parts[-1] += f", after kills {', '.join(map(in_gib, row.ladder_memory_bytes))}"
    parts += [f"CPU {row.cpu_millicores / 1000:.1f} cores"] if row.cpu_millicores else []
    parts += [f"{row.build_jobs} jobs"] if row.build_jobs else []
    parts += [f"disk {in_gib(row.disk_bytes)}"] if row.disk_bytes else []
    if row.expected_seconds is not None and row.p90_seconds is not None:
        parts.append(f"{_time(row.expected_seconds)}, 9 of 10 within {_time(row.p90_seconds)}")
    return "; ".join(parts)


def _chain(fitted: Fit, keys: Sequence[str], builds: Sequence[Build], chosen: str | None) -> Iterator[list[str]]:
    for key in keys:
        row = fitted.rows.get(key)
        count = row.samples if row else sum(build.trains and key in set(build.keys()) for build in builds)
        size = size_in_words(row) if row else "too few builds" if count else "-"
        yield [("-> " if key == chosen else "   ") + key, str(count), size]


_HEAD = ["ended", "version", "outcome", "jobs", "asked", "used", "anonymous", "cores", "time", "counts"]


def _build(build: Build) -> list[str]:
    seen = build.observation()
    asked, used = build.limit_bytes or build.asked_memory_bytes, build.working_set_peak_bytes
    return [
        dt.datetime.fromtimestamp(build.ended, tz=dt.UTC).strftime("%Y-%m-%d %H:%M"),
        build.version + build.expensive,
        build.outcome,
        str(build.jobs or "-"),
        in_gib(asked) if asked else "-",
        (f">= {in_gib(build.killed_at_bytes)}" if build.killed_at_bytes else in_gib(used) if used else "-"),
        in_gib(build.anonymous_peak_bytes) if build.anonymous_peak_bytes else "-",
        f"{seen.mean_cores:.1f}" if seen.mean_cores else "-",
        _time(build.wall_seconds or 0),
        "yes" if build.trains else "no: untrusted" if not build.trusted else "no: not whole",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"
