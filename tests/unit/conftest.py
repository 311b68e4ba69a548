"""Unit tests are pure: they start no process and open no socket. What needs one is an integration test."""

import os
import socket
import subprocess
from typing import NoReturn

import pytest

from buildjob.agent import disks


@pytest.fixture(autouse=True)
def pure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse sockets and processes."""

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("a unit test starts no process and opens no socket; move it to tests/integration")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
        monkeypatch.setattr(os, name, refuse)


@pytest.fixture(autouse=True)
def no_other_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what is mounted on this machine: a full disk that a test has nothing to do with must not change what it finds."""
    monkeypatch.setattr(disks, "writable_places", list)
