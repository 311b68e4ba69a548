"""What users may rely on of `spack-farm completion` and `spack-farm man`: that shells complete, and that man shows all."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = (
    "autoscaler",
    "build",
    "ctest",
    "delegate",
    "executor",
    "pipelines",
    "publish",
    "report",
    "sizing",
    "doctor",
    "paths",
    "completion",
    "man",
)


def farm(*words: str) -> str:
    argv = [sys.executable, str(ROOT / "spack_farm/__main__.py"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def needs(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def words_of_bash(script: Path, *typed: str) -> list[str]:
    """Return what bash offers for the last word."""
    words = " ".join(shlex.quote(word) for word in typed)
    program = (
        f'source {script}; read -ra said <<<"$(complete -p spack-farm)"; COMP_WORDS=({words}); '
        f"COMP_CWORD={len(typed) - 1}; ${{said[-2]}}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


def words_of_fish(script: Path, *typed: str) -> list[str]:
    needs("fish")
    program = f"source {script}; complete --do-complete {shlex.quote(' '.join(typed))}"
    argv = ["fish", "--no-config", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=os.environ | {"HOME": str(script.parent)})
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_verbs_options_and_files(shell: str, tmp_path: Path) -> None:
    offered = {"bash": words_of_bash, "fish": words_of_fish}[shell]
    script = tmp_path / "script"
    script.write_text(farm("completion", shell))
    key = tmp_path / "key.asc"
    key.touch()
    assert offered(script, "spack-farm", "bu") == ["build"]
    assert offered(script, "spack-farm", "build", "--sig") == ["--signing-key-file", "--signing-passphrase-file"]
    assert offered(script, "spack-farm", "publish", "ve") == ["verify"]
    assert offered(script, "spack-farm", "publish", "push", "--when") == []
    assert offered(script, "spack-farm", "build", "--signing-key-file", f"{tmp_path}/ke") == [str(key)]
    assert offered(script, "spack-farm", "completion", "z") == ["zsh"]


def test_zsh_completes_verbs_and_options(tmp_path: Path) -> None:
    needs("zsh")
    script = tmp_path / "script"
    script.write_text(farm("completion", "zsh"))
    terminal, inside = pty.openpty()
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"}
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=inside, stdout=inside, stderr=inside, env=environment, start_new_session=True
    )
    os.close(inside)
    try:
        os.write(terminal, f'autoload -U compinit; compinit -u -D; eval "$(cat {script})"; echo rea""dy\n'.encode())
        assert b"ready" in seen(terminal, b"ready")
        os.write(terminal, b"spack-farm bui\t")
        assert b"build " in seen(terminal, b"build ")
        os.write(terminal, b"--signing-k\t")
        assert b"--signing-key-file " in seen(terminal, b"--signing-key-file ")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def seen(terminal: int, wanted: bytes) -> bytes:
    """Return what the terminal shows until it shows what is wanted."""
    shown = b""
    end = time.monotonic() + 30
    while wanted not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown


def test_the_manual_has_a_section_for_each_verb_and_names_every_option() -> None:
    page = farm("man").replace("\\-", "-")
    assert page.startswith(".TH SPACK-FARM")
    assert page.count("\n.SH ") >= 4
    sections = re.findall(r"^\.SS \\fBspack-farm ([a-z ]+)\\fR$", page, re.MULTILINE)
    assert set(VERBS) <= set(sections)
    assert {"ctest convert", "executor prepare", "publish verify", "publish telemetry"} <= set(sections)
    for verb in ("build", "publish push", "ctest submit", "executor run"):
        for option in re.findall(r"--[a-z][a-z-]+", farm(*verb.split(), "--help")):
            assert option in page or option == "--help"
    assert "exit codes:" in page


def test_the_manual_shows_nothing_of_its_making() -> None:
    page = farm("man")
    assert "None" not in page
    assert "SUPPRESS" not in page
    assert "when\\-told" not in page
    assert farm("man") == page


def test_man_reads_the_manual_without_a_complaint() -> None:
    needs("groff")
    done = subprocess.run(
        ["groff", "-k", "-man", "-Tutf8", "-ww", "-rLL=120n"], input=farm("man").encode(), capture_output=True, check=True
    )
    assert b"publish notarize" in done.stdout
    assert done.stderr == b""
