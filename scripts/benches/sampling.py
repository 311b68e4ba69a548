"""What sampling 10 to 1,000 processes costs: ours with and without a cgroup, beside psutil alone at the same 1 Hz.

The contestants watch the same tree one after the other, each in a process of its own, in interleaved rounds. CPU is that of
the whole process within a window that begins after its first sample; lateness is how long after its planned time a sample
began; the tree's memory is the highest that the contestant saw. What the cgroup counts is the truth. Builds run 10 to 200
processes; a tree shares after its forks more than they do.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from buildjob.measure.cgroup import Cgroup, Kind, find_cgroup
from buildjob.measure.cgroup_counters import Counters
from buildjob.measure.cgroup_position import Position
from buildjob.measure.observer import Observation, Observer

if TYPE_CHECKING:
    import psutil

_SIZES = ((10, 50, 200, 1000), (50, 1000))
"""How many processes: usual, quick."""
_KIB_EACH = 1024
_INTERVAL_SECONDS = 1.0
# Contestant to seconds of its window: usual, quick. Ours with a cgroup walks seldom: a short window would miss the walk.
_WINDOWS = {
    "cgroup": (40.0, 6.0),
    "processes": (10.0, 2.0),
    "psutil_private": (8.0, 1.0),
    "psutil": (8.0, 1.0),
    "psutil_pss": (8.0, 1.0),
}
_ROUNDS = (2, 1)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one contestant did in one round."""

    core_percent: float
    late_seconds: list[float]
    samples_per_second: float
    """Less than one where a walk costs so much that it is made less often."""
    rss_mib: float
    """The highest."""
    memory_mib: float
    """The memory of the tree by its own figures."""


def main() -> int:
    """Run the bench, or, as a child of it, one contestant's window."""
    parser = argparse.ArgumentParser(prog="scripts/bench sampling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within 50 s")
    parser.add_argument("--processes", type=int, metavar="N", help="only a tree of N processes")
    parser.add_argument("--window", nargs=4, metavar=("CONTESTANT", "SECONDS", "ROOT", "POSITION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.window:
        contestant, seconds, root, position = options.window
        window = _CONTESTANTS[contestant](float(seconds), int(root), position)
        sys.stdout.write(msgspec.json.encode(window).decode() + "\n")
        return 0
    sizes = [options.processes] if options.processes else _SIZES[options.quick]
    measured = {count: _measured(count, quick=options.quick) for count in sizes}
    for count, (windows, truth_mib) in measured.items():
        _report(count, windows, truth_mib)
    figures = {str(count): _summary(windows, truth_mib) for count, (windows, truth_mib) in measured.items()}
    sys.stdout.write(json.dumps({"bench": "sampling", "processes": figures}) + "\n")
    return 0


def _measured(count: int, *, quick: bool) -> tuple[dict[str, list[Window]], float | None]:
    """Return each contestant's windows on a tree of so many processes, and the tree's anonymous memory in MiB."""
    cgroup = find_cgroup()
    with tempfile.TemporaryDirectory() as folder:
        tree = _start_tree(Path(folder), cgroup, count)
        try:
            return _rounds(tree.pid, cgroup, quick=quick), _truth_mib(cgroup)
        finally:
            os.killpg(tree.pid, signal.SIGKILL)
            tree.wait()
            if cgroup:
                _wait_until_empty(cgroup)
                cgroup.remove()


def _truth_mib(cgroup: Cgroup | None) -> float | None:
    anonymous = Counters(cgroup, note=print).read().anonymous_bytes if cgroup else None
    return None if anonymous is None else anonymous / 2**20


def _start_tree(folder: Path, cgroup: Cgroup | None, count: int) -> subprocess.Popen[bytes]:
    program = folder / "process_tree"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("process_tree.c")], check=True)
    command = [str(program), str(count), str(_KIB_EACH)]
    joined = cgroup.joined_by(command) if cgroup else command
    tree = subprocess.Popen(joined, stdout=subprocess.PIPE, start_new_session=True)
    assert tree.stdout
    if len(tree.stdout.read(count)) < count:
        raise SystemExit("the tree could not be started")
    return tree


def _rounds(root: int, cgroup: Cgroup | None, *, quick: bool) -> dict[str, list[Window]]:
    names = [name for name in _WINDOWS if cgroup or name != "cgroup"]
    windows: dict[str, list[Window]] = {name: [] for name in names}
    position = msgspec.json.encode(cgroup.position, enc_hook=str).decode() if cgroup else ""
    for turn in range(_ROUNDS[quick]):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            command = [sys.executable, __file__, "--window", name, str(_WINDOWS[name][quick]), str(root), position]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            windows[name].append(msgspec.json.decode(done.stdout, type=Window))
    return windows


def _ours(cgroup: Cgroup | None, root: int, seconds: float) -> Window:
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "telemetry.json")

        def checkpoint(observation: Observation) -> None:
            document.write_bytes(msgspec.json.encode(observation))

        with Observer(cgroup=cgroup, checkpoint=checkpoint, interval_seconds=_INTERVAL_SECONDS) as observer:
            observer.watch(root)
            observer.begin_phase("build")
            time.sleep(_INTERVAL_SECONDS * 1.2)
            percent = _measure(lambda: time.sleep(seconds))
            observation = observer.stop()
    return Window(
        core_percent=percent,
        samples_per_second=(len(observation.samples.time_seconds) - 1) / int(observation.totals.wall_seconds),
        late_seconds=observation.samples.late_seconds[:-1],
        rss_mib=_own_peak_mib(),
        memory_mib=(observation.totals.memory_anonymous_peak_bytes or 0) / 2**20,
    )


def _with_cgroup(seconds: float, root: int, position: str) -> Window:
    folders = msgspec.json.decode(position, type=Position, dec_hook=lambda kind, value: kind(value))
    return _ours(Cgroup(folders, kind=Kind.MADE), root, seconds)


def _without_cgroup(seconds: float, root: int, _position: str) -> Window:
    return _ours(None, root, seconds)


def _peer(sample: Callable[["psutil.Process"], int]) -> Callable[[float, int, str], Window]:
    def window(seconds: float, root: int, _position: str) -> Window:
        import psutil  # noqa: PLC0415 - it would count in our own memory

        process, late, stop = psutil.Process(root), list[float](), threading.Event()
        totals = [sample(process)]
        begun = time.monotonic()

        def run() -> None:
            due = time.monotonic() + _INTERVAL_SECONDS
            while not stop.wait(max(due - time.monotonic(), 0.0)):
                late.append(time.monotonic() - due)
                totals.append(sample(process))
                due += _INTERVAL_SECONDS

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(_INTERVAL_SECONDS * 1.2)
        percent = _measure(lambda: time.sleep(seconds))
        stop.set()
        thread.join()
        return Window(
            core_percent=percent,
            samples_per_second=len(late) / int(time.monotonic() - begun),
            late_seconds=late,
            rss_mib=_own_peak_mib(),
            memory_mib=max(totals) / 2**20,
        )

    return window


def _sum_rss(process: "psutil.Process") -> int:
    total = 0
    for child in [process, *process.children(recursive=True)]:
        with child.oneshot():
            child.cpu_times()
            total += child.memory_info().rss
    return total


def _sum_private(process: "psutil.Process") -> int:
    total = 0
    for child in [process, *process.children(recursive=True)]:
        with child.oneshot():
            child.cpu_times()
            memory = child.memory_info()
            total += memory.rss - memory.shared
    return total


def _sum_pss(process: "psutil.Process") -> int:
    return sum(child.memory_full_info().pss for child in [process, *process.children(recursive=True)])


_CONTESTANTS: dict[str, Callable[[float, int, str], Window]] = {
    "cgroup": _with_cgroup,
    "processes": _without_cgroup,
    "psutil_private": _peer(_sum_private),
    "psutil": _peer(_sum_rss),
    "psutil_pss": _peer(_sum_pss),
}
_TITLES = {
    "cgroup": "ours, with a cgroup",
    "processes": "ours, without",
    "psutil_private": "psutil alone, rss - shared",
    "psutil": "psutil alone, rss",
    "psutil_pss": "psutil alone, PSS",
}


def _measure(wait: Callable[[], None]) -> float:
    """Return the percentage of a core that this process takes while waiting."""
    begun, cpu = time.monotonic(), time.process_time()
    wait()
    return 100 * (time.process_time() - cpu) / (time.monotonic() - begun)


def _own_peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _wait_until_empty(cgroup: Cgroup) -> None:
    deadline = time.monotonic() + 10
    while cgroup.members() and time.monotonic() < deadline:
        time.sleep(0.05)


def _report(count: int, windows: dict[str, list[Window]], truth_mib: float | None) -> None:
    out = sys.stdout.write
    truth = "" if truth_mib is None else f", {truth_mib:.0f} MiB by the cgroup"
    out(f"{count} processes{truth}, at {1 / _INTERVAL_SECONDS:g} Hz; median of the rounds (lowest - highest)\n")
    out(f"{'':28}{'% of a core':>24}{'samples/s':>11}{'late p99, ms':>14}{'RSS, MiB':>10}{'tree, MiB':>11}{'rounds':>8}\n")
    for name, rounds in windows.items():
        percents = [window.core_percent for window in rounds]
        figure = _figures(rounds)
        spread = f"{figure['core_percent']:.2f} ({min(percents):.2f} - {max(percents):.2f})"
        out(f"{_TITLES[name]:28}{spread:>24}{figure['samples_per_second']:>11.2f}")
        out(f"{figure['late_p99_seconds'] * 1000:>14.1f}{figure['rss_mib']:>10.1f}{figure['memory_mib']:>11.0f}")
        out(f"{len(rounds):>8}\n")
    out("\n")


def _summary(windows: dict[str, list[Window]], truth_mib: float | None) -> dict[str, dict[str, float]]:
    truth = {} if truth_mib is None else {"truth": {"memory_mib": round(truth_mib, 1)}}
    return truth | {name: _figures(rounds) for name, rounds in windows.items()}


def _figures(rounds: list[Window]) -> dict[str, float]:
    late = sorted(seconds for window in rounds for seconds in window.late_seconds)
    return {
        "core_percent": round(statistics.median(window.core_percent for window in rounds), 3),
        "samples_per_second": round(statistics.median(window.samples_per_second for window in rounds), 2),
        "late_p99_seconds": round(late[int(len(late) * 0.99)] if late else 0.0, 5),
        "rss_mib": round(max(window.rss_mib for window in rounds), 1),
        "memory_mib": round(statistics.median(window.memory_mib for window in rounds), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
