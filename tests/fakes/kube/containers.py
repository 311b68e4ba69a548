"""Containers of the fake cluster: real processes of this machine, with a private folder instead of each file system.

A container sees its control volume, its control group's files and its image's shells because the paths of those are replaced
in the command lines and files that come from outside; nothing is mounted, and no privilege is needed. All its processes have
a mark in their environment, by which they are found and ended.
"""

import contextlib
import errno
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests.fakes.kube.images import Image

_MARK = "FAKE_CONTAINER"
_SUFFIXES = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 10**3, "M": 10**6, "G": 10**9}
_SHELL = re.compile(r"(?:/usr/local|/usr)?/bin/((?:ba)?sh)\b")


class Container:
    """One container of a pod, from its start on."""

    def __init__(self, spec: dict[str, Any], image: Image, *, pod_folder: Path, uid: str) -> None:
        self.name: str = spec["name"]
        self.spec = spec
        self.image = image
        self._control = pod_folder / "control"
        self.group = pod_folder / f"cgroup-{self.name}"
        self.log = pod_folder / f"log-{self.name}"
        self._home = pod_folder / f"root-{self.name}"
        self._mark = f"{uid}/{self.name}"
        self._first: subprocess.Popen[bytes] | None = None
        self.killed_for_memory = False
        for folder in (self._control, self.group, self._home):
            folder.mkdir(parents=True, exist_ok=True)
        for mount in spec["volumeMounts"]:
            if not mount["mountPath"].startswith("/.spack-farm"):
                Path(mount["mountPath"]).mkdir(parents=True, exist_ok=True)

    def put(self, folder: str, files: dict[str, bytes]) -> None:
        """Write the files of a config map into a folder, executable."""
        place = Path(self._inside(folder))
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            is_script = content[:2] == b"#!"
            if (
                is_script and name != self.spec["name"]
            ):  # the folder is one for all containers, paths are each container's own
                continue
            path = place / f"{name}.{self.spec['name']}.part"
            path.write_bytes(self._inside(content.decode()).encode() if is_script else content)
            path.chmod(0o555)
            path.rename(place / name)

    def start(self) -> None:
        """Start the first process. Raises FileNotFoundError if the image has no such program."""
        limit = (self.spec.get("resources", {}).get("limits") or {}).get("memory")
        for file, text in {
            "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
            "memory.current": "20971520\n",
            "memory.peak": "52428800\n",
            "memory.max": f"{_bytes(limit)}\n" if limit else "max\n",
            "memory.stat": "anon 10485760\nfile 8388608\ninactive_file 4194304\n",
            "cpu.max": "max 100000\n",
            "cpu.stat": "usage_usec 1000000\nuser_usec 600000\nsystem_usec 400000\n",
        }.items():
            (self.group / file).write_text(text)
        command = [*(self.spec.get("command") or self.image.entrypoint), *(self.spec.get("args") or [])]
        if self.image.start_delay_seconds:
            command = ["/bin/sh", "-c", f'sleep {self.image.start_delay_seconds}; exec "$@"', "slow", *command]
        with self.log.open("wb") as log:
            self._first = self.run(
                [argument.replace("$$", "$") for argument in command], pipes=subprocess.DEVNULL, out=log.fileno()
            )

    def run(self, command: list[str], *, pipes: int, out: int | None = None) -> subprocess.Popen[bytes]:
        """Start a process in the container. Raises FileNotFoundError if the image has no such program."""
        argv = [self._inside(argument) for argument in command]
        program = argv[0] if "/" in argv[0] else str(self.image.bin / argv[0])
        if not os.path.exists(program):  # noqa: PTH110 (a link's target)
            raise FileNotFoundError(argv[0])
        environment = {
            "PATH": str(self.image.bin),
            "HOME": self.image.home or str(self._home),
            "HOSTNAME": self._mark.partition("/")[0],
            "FAKE_CGROUP": str(self.group),
            "FAKE_RUNNER_VERSION": self.image.runner_version,
            **self.image.environment,
            _MARK: self._mark,
        }
        while True:
            try:
                return subprocess.Popen(
                    argv, executable=program, env=environment, cwd=self._home, start_new_session=True,
                    stdin=pipes, stdout=pipes if out is None else out, stderr=pipes if out is None else out,
                )  # fmt: skip
            except OSError as error:
                # What another thread has just forked holds the program open for writing until its own exec.
                if error.errno != errno.ETXTBSY:
                    raise
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for the first process; end all others, as the kernel does with a process namespace; return its exit code."""
        assert self._first is not None
        code = self._first.wait()
        self.kill()
        return 128 - code if code < 0 else code

    @property
    def is_running(self) -> bool:
        """Whether the first process runs."""
        return self._first is not None and self._first.returncode is None

    def terminate(self) -> None:
        """Send TERM to the first process, as a deletion does."""
        if self._first is not None:
            self._first.terminate()

    def kill_for_memory(self) -> None:
        """Kill the whole container, as the kernel does with `memory.oom.group`."""
        self.killed_for_memory = True
        self.kill()

    def kill(self) -> None:
        """Kill every process of the container, also those that start meanwhile."""
        if self._first is not None:
            self._first.kill()
            self._first.wait()
        while processes := _marked(self._mark):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)

    def _inside(self, argument: str) -> str:
        """Return an argument with the container's paths replaced by ours."""
        argument = argument.replace("/.spack-farm", str(self._control)).replace("/sys/fs/cgroup", str(self.group))
        return _SHELL.sub(rf"{self.image.bin}/\1", argument)


_scan = threading.Lock()


def _marked(mark: str) -> list[int]:
    """Return the living processes with a mark."""
    wanted = f"{_MARK}={mark}\0".encode()
    found = []
    with _scan:
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if wanted in Path(entry.path, "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
    return found


def _bytes(quantity: str) -> int:
    suffix = quantity.lstrip("0123456789")
    return int(quantity.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1)
