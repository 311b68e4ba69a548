"""A real GitLab Runner 19.4.0, built from Go modules (`runner/`), in the cluster's network."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.labs import call_program
from tests.labs.checkout import ROOT
from tests.labs.warm_processes import end_warm_processes


def programs() -> Path:
    """Return the folder with gitlab-runner and gitlab-runner-helper; builds them where they are missing."""
    made = subprocess.run([Path(__file__).parent / "runner" / "build-runner"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip())


def filled_in(example: str, *, url: str, token: str, settings: Path, more: str = "") -> str:
    """Return config.toml.example as an operator fills it in; `more` is TOML for its one runner. Raises ValueError."""
    for placeholder, value in (
        ("https://gitlab.example.com", url),
        ("glrt-REPLACE-ME", token),
        ("/etc/spack-farm/settings.toml", str(settings)),
        ("check_interval = 3 ", "check_interval = 1 "),
    ):
        if placeholder not in example:
            raise ValueError(f"config.toml.example has no {placeholder!r}")
        example = example.replace(placeholder, value)
    return example + more


def environment(folder: Path) -> dict[str, str]:
    """Return the Runner's environment: its PATH begins with a `spack-farm` that is this checkout's, as in our image."""
    program, launcher = folder / "program" / "spack-farm", folder / "bin" / "spack-farm"
    for path in (program, launcher):
        path.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/spack_farm/__main__.py "$@"\n')
    program.chmod(0o755)
    if not launcher.exists():
        call_program.build(launcher, program)
    return {"PATH": f"{launcher.parent}:{os.environ['PATH']}", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}


def call(inside: list[str], folder: Path, *arguments: str) -> str:
    """Run a command of gitlab-runner; return its output. Raises CalledProcessError."""
    argv = [*inside, str(programs() / "gitlab-runner"), *arguments]
    done = subprocess.run(
        argv, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout


@contextlib.contextmanager
def running(inside: list[str], folder: Path, config: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the Runner with a config.toml below `folder`, its log in `folder/runner.log`; end it by TERM."""
    path = folder / "config.toml"
    (folder / "run").mkdir(exist_ok=True)
    path.write_text(config)
    path.chmod(0o600)
    argv = [*inside, str(programs() / "gitlab-runner"), "run", "--config", str(path)]
    with (folder / "runner.log").open("ab") as log:
        process = subprocess.Popen(argv, env=environment(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end_warm_processes(folder / "run")
