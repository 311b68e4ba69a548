"""Full disks, on real file systems: exit code 5, which one is full and what to do; whatever can be kept is kept."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob import telemetry
from tests.labs.checkout import ROOT
from tests.labs.limits import small_disk
from tests.labs.spack.lab import SpackLab, read_telemetry


def run(out: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--command", command, "--name", "x",
         "--version", "1", "--out", str(out)],
        capture_output=True, text=True, errors="replace", timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
    )  # fmt: skip


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def test_an_output_folder_on_a_full_disk_is_found_before_anything_starts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        fill(disk)
        done = run(disk / "a" / "out", f"touch {tmp_path}/ran")
        assert done.returncode == 5, done.stdout + done.stderr
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert f"the file system at {disk} is full, 0 B of 8 MiB are free" in line
        assert f"Make room at {disk}" in line
        assert [path.name for path in disk.iterdir()] == ["filling"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("command_s_own", "code", "outcome"), [(0, 0, "built"), (3, 1, "build_failed")])
def test_a_log_that_fills_its_disk_changes_no_verdict_and_every_document_is_written(
    command_s_own: int, code: int, outcome: str, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", megabytes=12) as disk:
        done = run(disk / "out", f"yes $(printf %01000d 0) | head -c 20000000; sleep 1.2; exit {command_s_own}")
        assert done.returncode == code, done.stdout[-2000:] + done.stderr
        assert f"{disk}/out/x-1/build.log is not complete: No space left on device" in done.stdout
        assert "could not be written" not in done.stdout
        document = telemetry.read(disk / "out" / "x-1" / "telemetry.json")
        assert (document.complete, document.outcome) == (True, outcome)
        assert "</html>" in (disk / "out" / "x-1" / "report.html").read_text()
        assert (disk / "out" / "x-1" / "cdash" / "Build.xml").exists()


@pytest.mark.parametrize(
    ("options", "lacks", "advice"),
    [("", "space", "at least 64 MiB: TMPDIR"), ("nr_inodes=1", "inodes", "more inodes: TMPDIR")],
)
def test_a_compiler_without_room_for_its_temporary_files(options: str, lacks: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    with small_disk(tmp_path / "disk", megabytes=4, options=options) as disk:
        if not options:
            fill(disk)
        done = run(tmp_path / "out", f"gcc -o {tmp_path}/a {tmp_path}/a.c", TMPDIR=str(disk))
    assert done.returncode == 5, done.stdout + done.stderr
    document = telemetry.read(tmp_path / "out" / "x-1" / "telemetry.json")
    assert document.full_disk
    assert (document.full_disk.mount, document.full_disk.lacks) == (str(disk), lacks)
    assert advice in re.sub(r"\s+", " ", done.stdout)


def test_what_filled_the_disk_may_be_gone_when_the_build_says_that_it_was_full(tmp_path: Path) -> None:
    """As pip does, which deletes its temporary files and then reports the error."""
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        said = "echo \"ERROR: [Errno 28] No space left on device: 'wheel'\""
        command = f"head -c 9000000 /dev/zero > {disk}/x; sleep 2; rm {disk}/x; {said}; exit 1"
        assert run(tmp_path / "out", command, TMPDIR=str(disk)).returncode == 5


@pytest.mark.parametrize(
    "command",
    [
        "echo 'cat: write error: No space left on device'; exit 1",
        "cat /etc/passwd > /dev/full",  # the device is always full, and no disk is
        "echo 'Disk quota exceeded'; echo 'Bus error'; exit 1",
        "yes 'No space left on device' | head -n 3000; exit 1",
    ],
)
def test_words_alone_make_no_disk_full(command: str, tmp_path: Path) -> None:
    done = run(tmp_path / "out", command)
    assert done.returncode == 1
    assert "each file system that the build is known to write to has some" in done.stdout
    assert telemetry.read(tmp_path / "out" / "x-1" / "telemetry.json").full_disk is None


def test_a_full_disk_alone_makes_no_build_fail_for_it_and_is_a_warning(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        fill(disk)
        done = run(tmp_path / "out", "exit 3", TMPDIR=str(disk))
        assert run(tmp_path / "out", "true", TMPDIR=str(disk)).returncode == 0
    assert done.returncode == 1
    assert f"the log does not say that the disk is full, but the file system at {disk} is full" in done.stdout


def test_a_disk_that_is_no_default_and_fills_up_while_the_build_runs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        command = f"sleep 0.5; head -c 9000000 /dev/zero > {disk}/x"
        done = run(tmp_path / "out", command)
        again = run(tmp_path / "out", command)  # full before: it may have nothing to do with this build
    assert (done.returncode, again.returncode) == (5, 1), done.stdout
    document = telemetry.read(tmp_path / "out" / "x-1" / "telemetry.json")
    assert document.full_disk
    assert document.full_disk.mount == str(disk)


def test_a_program_that_writes_to_memory_which_is_a_file_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import mmap, sys\n"
        "with open(sys.argv[1], 'w+b') as file:\n"
        "    file.truncate(50 << 20)\n"
        "    memory = mmap.mmap(file.fileno(), 50 << 20)\n"
        "    for at in range(0, 50 << 20, 4096):\n"
        "        memory[at] = 1\n"
    )
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        command = f"{sys.executable} {tmp_path}/a.py {disk}/x"
        for number, each in enumerate((command, f"exec {command}", f"{command} 2> /dev/null; exit $?")):
            assert run(tmp_path / str(number), each, TMPDIR=str(disk)).returncode == 5, each


@pytest.mark.parametrize(("command", "code"), [("echo hello", 0), ("exit 3", 1)])
def test_an_output_that_takes_no_more_lines_changes_no_verdict(command: str, code: int, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--command", command, "--name", "x",
             "--version", "1", "--out", str(tmp_path / "out")],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == code
    assert done.stderr == "spack-farm: error: standard output takes no more lines: No space left on device\n"
    assert (tmp_path / "out" / "x-1" / "report.html").exists()


def test_a_shell_says_i_o_error_of_a_full_disk(tmp_path: Path) -> None:
    assert run(tmp_path / "out", "echo x > /dev/full").returncode == 1
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        fill(disk)
        done = run(tmp_path / "out", f"echo x > {disk}/x", TMPDIR=str(disk))
    assert done.returncode == 5, done.stdout


_QUOTA = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int over_quota(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *folder = getenv("OVER_QUOTA");
    if (length < 0 || !folder) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

ssize_t write(int file, const void *data, size_t size) {
    if (over_quota(file)) { errno = EDQUOT; return -1; }
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, data, size);
}

int posix_fallocate(int file, off_t at, off_t size) {
    if (over_quota(file)) return EDQUOT;
    return ((int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate"))(file, at, size);
}

int posix_fallocate64(int file, off64_t at, off64_t size) {
    if (over_quota(file)) return EDQUOT;
    return ((int (*)(int, off64_t, off64_t))dlsym(RTLD_NEXT, "posix_fallocate64"))(file, at, size);
}
"""
"""A library that refuses writes below a folder as a quota does: few test machines can set a real one."""


@pytest.fixture(scope="module")
def quota(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quota")
    (folder / "quota.c").write_text(_QUOTA)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "quota.so", folder / "quota.c", "-ldl"], check=True)
    return folder / "quota.so"


def test_a_quota_that_is_used_up_is_found_though_the_file_system_has_room(quota: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    variables = {"LD_PRELOAD": str(quota), "OVER_QUOTA": str(tmp_path / "mine"), "TMPDIR": str(tmp_path / "mine")}
    done = run(tmp_path / "out", f"dd if=/dev/zero of={tmp_path}/mine/x bs=1k count=1", **variables)
    assert done.returncode == 5, done.stdout + done.stderr
    document = telemetry.read(tmp_path / "out" / "x-1" / "telemetry.json")
    assert document.full_disk
    assert (document.full_disk.lacks, document.full_disk.folder) == ("quota", str(tmp_path / "mine"))
    assert "have the quota raised: TMPDIR" in re.sub(r"\s+", " ", done.stdout)
    done = run(tmp_path / "mine" / "out", "true", **variables)
    assert (done.returncode, done.stdout) == (5, "")
    assert "this user's quota is used up" in done.stderr


@pytest.mark.parametrize("out", ["/proc/x", "/sys/x", "/dev/null", "/dev/null/x", "{}/file", "{}/loop", "{}/" + "n" * 300])
def test_an_output_folder_that_cannot_be_one_is_a_bad_request(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    done = run(Path(out.format(tmp_path)), "true")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"spack-farm: error: --out {out.format(tmp_path)}")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


@pytest.mark.spack
def test_stage_and_tree_on_a_full_disk_before_and_while_spack_builds(lab: SpackLab, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        fill(disk)
        scopes = {"build_stage": [f"{disk}/stage"]}, {"install_tree": {"root": f"{disk}/opt"}}
        for number, (config, package) in enumerate(zip(scopes, ("libhello", "hello-filler"), strict=True)):
            scope = tmp_path / f"scope-{number}"
            scope.mkdir()
            (scope / "config.yaml").write_text(json.dumps({"config": config}))
            if package == "libhello":
                lab.forget(package)
            done = lab.build("-C", scope, package, "--out", tmp_path / str(number))
            assert done.returncode == 5, done.stdout + done.stderr
            document = read_telemetry(tmp_path / str(number), package)
            assert document.full_disk
            assert document.full_disk.mount == str(disk)
            (page,) = (tmp_path / str(number)).glob("*/report.html")
            assert "Disk full" in page.read_text()


@pytest.mark.spack
def test_a_tree_in_which_spack_cannot_even_plan(lab: SpackLab, tmp_path: Path) -> None:
    scope = tmp_path / "scope"
    scope.mkdir()
    with small_disk(tmp_path / "disk", megabytes=4, options="nr_inodes=2") as disk:
        (scope / "config.yaml").write_text(json.dumps({"config": {"install_tree": {"root": f"{disk}/opt"}}}))
        done = lab.build("-C", scope, "libhello", "--out", tmp_path / "out")
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"the file system at {disk} is full, no inode is free" in done.stderr
    assert not (tmp_path / "out").exists()
