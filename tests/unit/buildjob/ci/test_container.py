"""Which image a run is built in again, what an engine is asked to do, and what is kept of what comes back."""

import io
import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from buildjob.ci import container
from buildjob.ci.container import Image, _received, argv, find_engine, image_of
from buildjob.telemetry import Job, Reproduce
from tests.labs.telemetry_samples import sample

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("digest", "name", "expected", "is_exact"),
    [
        (f"registry.example/build@{DIGEST}", "registry.example/build:1", f"registry.example/build@{DIGEST}", True),
        (f"registry.example:5000/a/b@{DIGEST}", "", f"registry.example:5000/a/b@{DIGEST}", True),
        # what containerd says of an image that came from no registry is a digest that no registry knows
        (DIGEST, "registry.example/build:1", "registry.example/build:1", False),
        ("", "registry.example/build:1", "registry.example/build:1", False),
        ("", f"registry.example/build@{DIGEST}", f"registry.example/build@{DIGEST}", True),
        ("", "", "", False),
        (DIGEST, "", "", False),
        ("", "--privileged", "", False),
        (f"--volume=/:/host@{DIGEST}", "", "", False),
        ("", "a b", "", False),
        ("", "image;reboot", "", False),
        ("", "image\n--privileged", "", False),
        ("", "x" * 1100, "", False),
    ],
)
def test_the_image_of_a_run(digest: str, name: str, expected: str, *, is_exact: bool) -> None:
    document = sample(reproduce=Reproduce(image_digest=digest), job=Job(image=name))
    assert image_of(document) == (Image(reference=expected, is_exact=is_exact) if expected else None)


def test_options_come_before_the_image_and_arguments_are_words_of_their_own() -> None:
    image = Image(reference="img", is_exact=False)
    command = argv("/usr/bin/podman", image, {"LANG": "C; reboot"}, ["build", "./spec.json"])
    assert command[:6] == ["/usr/bin/podman", "run", "--rm", "--interactive", "--env", "LANG=C; reboot"]
    assert command[6:10] == ["--entrypoint", "/bin/sh", "img", "-c"]
    assert command[-3:] == ["sh", "build", "./spec.json"]


def test_no_engine_is_looked_for_if_none_is_wanted() -> None:
    assert find_engine("none", {"PATH": "/usr/bin"}) == ""
    assert find_engine("", {"PATH": "/nowhere"}) == ""


def _archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    packed.seek(0)
    return packed


def _link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.linkname, info.type = target, kind
    return info


def test_only_plain_files_of_run_folders_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "run").mkdir(parents=True)
    (out / "run" / "mine").write_text("mine")
    packed = _archive(
        ("./run/telemetry.json", json.dumps({}).encode()),
        ("./run/reproduce/repos.yaml", b"{}"),
        ("../outside", b"x"),
        ("run/../../outside", b"x"),
        ("/etc/outside", b"x"),
        ("alone", b"x"),
        ("other/no-telemetry", b"x"),
        _link("run/link", "/etc/passwd", tarfile.SYMTYPE),
        _link("run/hard", "../../outside", tarfile.LNKTYPE),
        _link("run/device", "", tarfile.CHRTYPE),
        _link("run/pipe", "", tarfile.FIFOTYPE),
    )
    assert _received(packed, out) == [out / "run-2"]
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {
        "out/run/mine", "out/run-2/telemetry.json", "out/run-2/reproduce/repos.yaml", "out/other/no-telemetry",
    }  # fmt: skip


def test_names_that_no_file_can_have_are_left_out(tmp_path: Path) -> None:
    packed = _archive(
        ("run/a", b"first"),
        ("run/a/below", b"x"),
        ("run/b/c", b"x"),
        ("run/b", b"x"),
        ("run/" + "n" * 300, b"x"),
        ("run/telemetry.json", b"{}"),
    )
    assert _received(packed, tmp_path) == [tmp_path / "run"]
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"run/a", "run/b/c", "run/telemetry.json"}


def test_what_comes_back_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_MOST_FILES", 3)
    monkeypatch.setattr(container, "_LARGEST_BYTES", 100)
    _received(_archive(*((f"run/{number}", b"x") for number in range(9))), tmp_path / "many")
    assert len(list((tmp_path / "many/run").iterdir())) == 3
    _received(_archive(("run/large", b"x" * 101)), tmp_path / "large")
    assert not (tmp_path / "large/run/large").exists()


def test_a_run_outside_of_jobs_has_no_image() -> None:
    assert image_of(sample(job=msgspec.UNSET, reproduce=Reproduce())) is None
