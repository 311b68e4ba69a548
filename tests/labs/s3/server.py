"""S3 servers for tests: moto's and, where it is built, versitygw; each a process of its own on a free port.

On loopback, unless a test wants it elsewhere.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.open import open_store
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.s3 import S3Store
from buildjob.buildcache.storage.store import Store
from tests.labs.checkout import ROOT

ACCESS_KEY, SECRET_KEY = "testing", "testing-secret"
_Result = TypeVar("_Result")


class Server:
    """A running server: its address and credentials."""

    def __init__(
        self, name: str, url: str, *, keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY), folder: Path | None = None
    ) -> None:
        self.name = name
        self.url = url
        self.folder = folder
        """Where its buckets lie, if it keeps them as files."""
        self.access_key, self.secret_key = keys
        self.environment = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": url,
            "S3_ENDPOINT_URL": url,
        }
        self._buckets = 0

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def bucket(self) -> str:
        """Make a fresh bucket; return its name."""
        self._buckets += 1
        name = f"bucket-{os.getpid()}-{self._buckets}"
        self.client().create_bucket(Bucket=name)
        return name

    def store(self, url: str, *, retries: RetryPolicy | None = None, fast_path: bool = True, **access: Any) -> Store:
        """Return our storage on this server, as `open_store` makes it; the test's environment must hold the credentials."""
        reach = Access(endpoint_url=self.url, region="us-east-1", path_style=True, **access)
        return open_store(url, reach, retries=retries) if fast_path else S3Store(url, reach, retries=retries)


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """Run moto's server, which keeps everything in memory."""
    log = folder / "moto.log"
    argv = [sys.executable, "-m", "tests.labs.s3.moto_server"]
    with log.open("wb") as file:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "MOTO_S3_CUSTOM_ENDPOINTS": "",
        }  # fmt: skip
        process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, env=environment)
    with _ended(process):
        found = _wait_for(lambda: re.search(rb"Running on (http://127\.0\.0\.1:\d+)", log.read_bytes()), process, log)
        yield Server("moto", found[1].decode())


def _here(act: Callable[[], _Result]) -> _Result:
    return act()


@contextlib.contextmanager
def versitygw(
    program: Path,
    folder: Path,
    *,
    address: str = "127.0.0.1",
    within: Callable[[Callable[[], Any]], Any] = _here,
    keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
) -> Iterator[Server]:
    """Run versitygw, a real server over a folder. `within` calls a function where the address is valid, such as another
    network namespace.
    """
    (folder / "data").mkdir()
    log = folder / "versitygw.log"
    port = within(lambda: _free_port(address))
    environment = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": keys[0], "ROOT_SECRET_KEY": keys[1]}
    # without --keep-alive it closes each connection, which S3 does not
    argv = [str(program), "--keep-alive", "--port", f"{address}:{port}", "posix", str(folder / "data")]
    with log.open("wb") as file:
        process = within(lambda: subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=folder))
    with _ended(process):
        _wait_for(lambda: within(lambda: _answers(address, port)), process, log)
        yield Server("versitygw", f"http://{address}:{port}", keys=keys, folder=folder / "data")


def _free_port(address: str) -> int:
    """Return a free port: the program cannot choose one and report it."""
    with socket.socket() as free:
        free.bind((address, 0))
        port: int = free.getsockname()[1]
        return port


def versitygw_program() -> Path:
    """Return the program that scripts/get-s3 builds; skip the test, with the reason, if there is none."""
    done = subprocess.run([ROOT / "scripts" / "get-s3"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no versitygw: {done.stderr.strip().splitlines()[-1]}")
    return Path(done.stdout.strip())


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _wait_for(ready: Any, process: subprocess.Popen[bytes], log: Path) -> Any:
    deadline = time.monotonic() + 60
    while not (found := ready()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server does not start:\n{log.read_text()}")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
