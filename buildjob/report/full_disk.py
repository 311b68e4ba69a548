"""What is said of a full file system: which one, its figures, what to do. Pure; the same on the page and in the job log."""

from collections.abc import Iterator

from buildjob.report.format import format_bytes, round_up_bytes
from buildjob.telemetry import FullDisk

# How to have something else than the default place: the end of a sentence.
_MOVED_BY = {
    "stage folder": ": Spack's config:build_stage names the folder",
    "install tree": ": Spack's config:install_tree names the folder",
    "temporary files": ": TMPDIR names the folder",
    "run folder": ": --out names the folder",
    "--out": ": --out names the folder",
    "--scratch": ": --scratch names the folder",
}


def describe_full_disk(full: FullDisk) -> str:
    """Return which file system is full, its figures, and what is on it, as the end of a sentence."""
    figures = f"{format_bytes(full.free_bytes)} of {format_bytes(full.size_bytes)} are free"
    lack = {"inodes": f"no inode is free ({figures})", "quota": f"this user's quota is used up ({figures})"}
    where = f" ({full.use}: {full.folder})" if full.folder != full.mount else f" ({full.use})"
    return f"the file system at {full.mount} is full, {lack.get(full.lacks, figures)}{where}"


def advise_full_disk(full: FullDisk) -> str:
    """Return what to do about a full file system, without a full stop.

    How much is missing is not known: doubling what was too little takes the fewest tries. What the build itself used is no
    such figure: others may have filled the disk.
    """
    larger = {
        "inodes": "use a file system with more inodes",
        "quota": "have the quota raised",
    }.get(full.lacks, f"use a file system of at least {format_bytes(round_up_bytes(2 * full.size_bytes))}")
    return f"Make room at {full.mount}, or {larger}{how_to_move(full.use)}"


def how_to_move(use: str) -> str:
    """Return what names the folder for a use, as the end of a sentence; empty if nothing does."""
    return _MOVED_BY.get(use, "")


def more_disk(full: FullDisk | None, *, asked_bytes: int | None, used_bytes: int) -> Iterator[str]:
    """Give what to do, most promising first. `asked_bytes`: what the pod asked for; `used_bytes`: the build's peak."""
    least = format_bytes(round_up_bytes(2 * max(asked_bytes, used_bytes))) if asked_bytes else ""
    if full is None:
        yield f"Ask for at least {least} of disk, or build where more is free." if least else "Build where more is free."
        return
    yield f"{advise_full_disk(full)}."
    if asked_bytes and full.size_bytes > asked_bytes:  # the node's disk, not a volume of its own
        yield f"In a pod, ask for more disk than {format_bytes(asked_bytes)}: at least {least}."
