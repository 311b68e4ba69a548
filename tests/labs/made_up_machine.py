"""A machine that a test writes: a cgroup of v1 or v2, or none, and a `/proc`, as files that keep their inode.

Files of the kernel keep theirs too: a reader that has opened one sees what is written later. Process ids lie above all that
Linux gives, so that no reader can meet a real process by mistake. psutil reads this `/proc` from then on; a fixture gives it
the real one back after each test.
"""

import itertools
import os
import shutil
from pathlib import Path

import msgspec
import psutil

from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_position import Position

MIB = 1 << 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_FIRST_PID = 9_000_000


class Process(msgspec.Struct, kw_only=True):
    """A process of the build, or a standby process."""

    mib: float = 1
    """Resident memory that no file backs."""
    shared_mib: float = 0
    """Resident memory that files back, besides."""
    cpu: float = 0.0
    """Its own CPU seconds."""
    reaped_cpu: float = 0.0
    """CPU seconds of the children that it has waited for."""
    is_zombie: bool = False
    started: int = 77
    """Clock ticks since boot."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What the cgroup counts. MiB, and seconds."""

    usage: float = 0
    inactive: float = 0
    anonymous: float = 0
    swap: float = 0
    peak: float = 0
    cpu: float = 0.0
    throttled: float = 0.0
    stalled: float = 0.0
    kills: int = 0
    read: int = 0
    """Bytes, as `written`."""
    written: int = 0


class MadeUpMachine:
    """A machine with a cgroup of `version` (`none`: it has none)."""

    def __init__(self, folder: Path, version: str = "v2") -> None:
        self.version = version
        self.proc = folder / "proc"
        self.cgroup_folder = folder / "group"
        self.missing: set[str] = set()
        """Files of the cgroup that this kernel lacks."""
        self.processes: dict[str, Process] = {}
        self._pids: dict[str, int] = {}
        self._next_pids = itertools.count(_FIRST_PID)
        self._own = self.proc / str(os.getpid())
        self._thread = self._own / "task" / str(os.getpid())
        self._thread.mkdir(parents=True)
        (self._thread / "io").write_text(_io(0, 0))
        (self.proc / "stat").write_text("btime 1000000\n")
        psutil.PROCFS_PATH = str(self.proc)
        self.cgroup_folder.mkdir()
        self.use()
        self.run()
        self.agent()

    def agent(self, *, private_mib: float = 0, reaped_read: int = 0, reaped_written: int = 0) -> None:
        """Set what the agent uses: memory that no file backs, and what its children did that it has waited for."""
        self._write(os.getpid(), "agent", Process(mib=private_mib, shared_mib=1))
        self.does_io(os.getpid(), read=reaped_read, written=reaped_written)

    def does_io(self, pid: int, *, read: int, written: int) -> None:
        """Set what a process has read and written."""
        (self.proc / str(pid) / "io").write_text(_io(read, written))

    def use(self, **figures: float) -> None:
        """Let the cgroup count exactly this; see `Use`."""
        if self.version == "none":
            return
        used = msgspec.convert(figures, Use)
        for name, text in (_files_v1(used) if self.version == "v1" else _files_v2(used)).items():
            if name not in self.missing:
                (self.cgroup_folder / name).write_text(text)
            else:
                (self.cgroup_folder / name).unlink(missing_ok=True)

    def run(self, **processes: Process | float) -> None:
        """Let exactly these processes run: name to what they use, or to MiB of resident memory."""
        self.processes = {
            name: process if isinstance(process, Process) else Process(mib=process) for name, process in processes.items()
        }
        for folder in self.proc.iterdir():
            if folder.name.isdigit() and int(folder.name) not in {os.getpid(), *map(self.pid, processes)}:
                shutil.rmtree(folder)
        for name, process in self.processes.items():
            self._write(self.pid(name), name, process)
        (self._thread / "children").write_text("".join(f"{self.pid(name)} " for name in processes))
        (self.cgroup_folder / "cgroup.procs").write_text("".join(f"{self.pid(name)}\n" for name in processes))

    def restart(self, name: str) -> None:
        """Give the process of this name a new pid from the next `run` on: it is another one."""
        self._pids.pop(name, None)

    def set_clock(self, seconds: int) -> None:
        """Set the clock, after which the kernel names another time of its start."""
        (self.proc / "stat").write_text(f"btime {1_000_000 + seconds}\n")

    def pid(self, name: str) -> int:
        """Return the process id that goes with a name."""
        if name not in self._pids:
            self._pids[name] = next(self._next_pids)
        return self._pids[name]

    def cgroup(self, kind: Kind = Kind.MADE) -> Cgroup | None:
        """Return the cgroup; None on a machine without one."""
        if self.version == "none":
            return None
        folders = dict.fromkeys(("memory", "cpuacct", "cpu"), self.cgroup_folder)
        position = Position(version=self.version, path="/job", folders=folders, tops=folders, limit_folders=folders)
        return Cgroup(position, kind=kind)

    def _write(self, pid: int, name: str, process: Process) -> None:
        folder = self.proc / str(pid)
        folder.mkdir(exist_ok=True)
        own, reaped = round(process.cpu * _TICKS), round(process.reaped_cpu * _TICKS)
        pages, shared = round(process.mib * MIB / _PAGE_BYTES), round(process.shared_mib * MIB / _PAGE_BYTES)
        state = "Z" if process.is_zombie else "S"
        fields = (
            f"{state} {os.getpid()} 1 1 0 -1 0 0 0 0 0 {own} 0 {reaped} 0 20 0 1 0 {process.started} 0 {pages} 0" + " 0" * 30
        )
        (folder / "stat").write_text(f"{pid} ({name}) {fields}\n")
        (folder / "statm").write_text(f"0 {pages + shared} {shared} 0 0 0 0\n")


def _io(read: int, written: int) -> str:
    return f"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: {read}\nwrite_bytes: {written}\n"


def _files_v1(used: Use) -> dict[str, str]:
    return {
        "memory.usage_in_bytes": f"{round(used.usage * MIB)}\n",
        "memory.max_usage_in_bytes": f"{round(used.peak * MIB)}\n",
        "memory.stat": (
            f"cache 0\nhierarchical_memory_limit {512 * MIB}\ntotal_rss {round(used.anonymous * MIB)}\n"
            f"total_shmem 0\ntotal_swap {round(used.swap * MIB)}\ntotal_inactive_file {round(used.inactive * MIB)}\n"
        ),
        "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {used.kills}\n",
        "cpuacct.usage": f"{round(used.cpu * 1e9)}\n",
        "cpu.stat": f"nr_periods 0\nnr_throttled 0\nthrottled_time {round(used.throttled * 1e9)}\n",
    }


def _files_v2(used: Use) -> dict[str, str]:
    return {
        "memory.current": f"{round(used.usage * MIB)}\n",
        "memory.max": f"{512 * MIB}\n",
        "memory.stat": f"anon {round(used.anonymous * MIB)}\nfile 0\nshmem 0\ninactive_file {round(used.inactive * MIB)}\n",
        "memory.swap.current": f"{round(used.swap * MIB)}\n",
        "memory.peak": f"{round(used.peak * MIB)}\n",
        "memory.events": f"low 0\noom 0\noom_kill {used.kills}\n",
        "memory.pressure": f"some avg10=0.00 total={round(used.stalled * 1e6)}\nfull avg10=0.00 total=0\n",
        "cpu.stat": f"usage_usec {round(used.cpu * 1e6)}\nnr_throttled 0\nthrottled_usec {round(used.throttled * 1e6)}\n",
        "io.stat": f"8:0 rbytes={used.read} wbytes={used.written} rios=0 wios=0\n",
    }
