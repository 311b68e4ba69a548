"""What every test shares: a clean environment, no network beyond loopback, and a closing table of what was skipped."""

import collections
import contextlib
import importlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests.labs.backends.lab import BACKENDS
from tests.labs.warm_processes import end_all

# A busy machine is not a fault of the code: only the test's own time limit bounds how long an example takes. The gate tests
# the same examples in every run; `scripts/prove properties` chooses others, with --hypothesis-profile=roam.
_unhurried = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("gate", _unhurried, derandomize=True)
hypothesis.settings.register_profile("roam", _unhurried, database=None, print_blob=True)
hypothesis.settings.load_profile("gate")

pytest_plugins = ["tests.labs.cluster.plugin", "tests.labs.nodes.plugin"]

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_CACHE_HOME")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a test only the variables that a fresh login has: nothing of CI, proxies, Spack or Python settings."""
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(("LC_", "PYTEST_", "COVERAGE_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int] | str | bytes) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            message = f"a test tried to connect to {address}"
            raise OSError(message)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def real_processes() -> Iterator[None]:
    """Let psutil read this machine's processes again after a test that showed it others."""
    yield
    psutil.PROCFS_PATH = "/proc"


def _rank(item: pytest.Item) -> tuple[float, bool]:
    """Return how long a test may take, by what it says itself: its own time limit, and whether it needs a real Spack."""
    limit = item.get_closest_marker("timeout")
    needs_spack = "spack" in getattr(item, "fixturenames", ()) or item.get_closest_marker("spack") is not None
    return float(limit.args[0]) if limit else 0.0, needs_spack


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take longest, so that no worker is left alone with one; unit tests come last.

    What needs a cluster for itself comes after all others, where nothing waits for it. Else the order stays random.
    """
    ranks: dict[Path, tuple[float, bool]] = {}
    for item in items:
        ranks[item.path] = max(ranks.get(item.path, (0.0, False)), _rank(item))

    def place(item: pytest.Item) -> tuple[bool, float, bool, bool]:
        seconds, needs_spack = ranks[item.path]
        is_alone = item.get_closest_marker("alone") is not None
        return is_alone, -seconds, not needs_spack, item.nodeid.startswith("tests/unit/")

    items.sort(key=place)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long and binary cases by their argument: bytes that hold a time, as gzip's do, would differ between processes."""
    if isinstance(val, bytes) and (len(val) > 80 or not (val.isascii() and val.decode().isprintable())):
        return argname
    return f"{argname} of {len(val)} characters" if isinstance(val, str) and len(val) > 200 else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the backends on which the Runner's contract is tested."""
    text = "run the tests of tests/contract/runner on this backend of the driver; may be repeated (default: fake and local)"
    parser.addoption("--backend", action="append", choices=BACKENDS, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Take INT as a terminal's programs do: what a shell starts in the background ignores it, and all that that starts.

    In the gate, examples must not depend on which modules are imported by then: Hypothesis also tries the constants that
    it finds in those.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--hypothesis-profile", None):
        with contextlib.suppress(ModuleNotFoundError):  # old versions of Hypothesis try no such constants
            providers = importlib.import_module("hypothesis.internal.conjecture.providers")
            vars(providers)["is_local_module_file"] = lambda _path: False


def pytest_sessionfinish() -> None:
    """Leave no warm process behind: a worker among several ends without its exit functions."""
    end_all()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was skipped and why, one line for each reason, and how to repeat the order in which the tests ran."""
    reasons: collections.Counter[str] = collections.Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    terminalreporter.section("what was skipped, and why")
    if not reasons:
        terminalreporter.write_line("nothing: every test ran")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count:4d}  {reason}")
    # a test that needs another one before it is found by the order, which differs from run to run; all else has fixed seeds
    if seed := config.getoption("randomly_seed", None):
        terminalreporter.write_line(f"the order of the tests is repeated by --randomly-seed={seed}")
