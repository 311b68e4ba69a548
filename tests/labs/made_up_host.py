"""A machine that is made up of files: its processes in /proc and its control groups, v1 or v2."""

from pathlib import Path

OWN_PID_NAMESPACE = "pid:[4026532000]"
FIRST_PID_NAMESPACE = "pid:[4026531836]"


class Host:
    """A /proc with this process (number 500) and others, and a hierarchy mounted below `mount`."""

    def __init__(self, folder: Path, *, version: str = "v2") -> None:
        self.proc, self.mount = folder / "proc", folder / "cgroup"
        self.mount.mkdir()
        file_system, options = ("cgroup2", "rw") if version == "v2" else ("cgroup", "rw,memory,cpu,cpuacct")
        self._mount = f"41 31 0:38 {{root}} {self.mount} rw - {file_system} x {options}\n"
        self._line = "0::{path}\n" if version == "v2" else "4:memory,cpu,cpuacct:{path}\n"
        self.process(1, parent=0)
        self.process(400, parent=1)
        self.process(500, parent=400)
        self.process(600, parent=1)
        (self.proc / "500" / "ns").mkdir()
        (self.proc / "self").symlink_to("500")

    def process(self, pid: int, *, parent: int) -> None:
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "status").write_text(f"Name:\tPPid: 1\nPid:\t{pid}\nPPid:\t{parent}\nThreads:\t1\n")

    def stand(self, path: str, *, root: str = "/", pid_namespace: str = FIRST_PID_NAMESPACE) -> None:
        (self.proc / "self" / "cgroup").write_text(self._line.format(path=path))
        (self.proc / "self" / "mountinfo").write_text(self._mount.format(root=root))
        (self.proc / "self" / "ns" / "pid").symlink_to(pid_namespace)

    def group(self, path: str, *, pids: tuple[int, ...] = (), **files: str) -> Path:
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")
        return folder
