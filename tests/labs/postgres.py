"""PostgreSQL for tests: a server of its own on a socket in a folder, run as its own user, as Debian installs it."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "listen_addresses=")


def programs() -> Path | None:
    """Return the folder with PostgreSQL's server programs; None where there are none."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).parent if found else None


class Server:
    """A running server."""

    def __init__(self, folder: Path, user: str) -> None:
        self._folder, self._user = folder, user

    def database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        statement = ["psql", "-h", str(self._folder), "-U", self._user, "-d", "postgres", "-qc", f"CREATE DATABASE {name}"]
        subprocess.run(statement, check=True, capture_output=True)
        return f"postgresql://{self._user}@/{name}?host={self._folder}"


@contextlib.contextmanager
def running(binaries: Path) -> Iterator[Server]:
    """Run a server in a short-lived folder. A socket's path is short, so it is not pytest's."""
    root = os.geteuid() == 0
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    prefix = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if root else []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if root:
            shutil.chown(folder, user, user)
        data = folder / "data"
        made: list[str | Path] = [
            *prefix,
            binaries / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            user,
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        ]
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        options = [word for setting in _FAST for word in ("-c", setting)]
        argv: list[str | Path] = [*prefix, binaries / "postgres", "-D", data, "-k", folder, *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder)
        try:
            _wait(binaries, folder, user, process)
            yield Server(folder, user)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(binaries: Path, folder: Path, user: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    ready: list[str | Path] = [binaries / "pg_isready", "-q", "-h", folder, "-U", user]
    while subprocess.run(ready, check=False).returncode != 0:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, "PostgreSQL did not start within 60 s"
        time.sleep(0.05)
