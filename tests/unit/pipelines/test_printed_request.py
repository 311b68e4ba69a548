"""The request for a generator elsewhere: which files are in it, and what differs from run to run is not."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.printed_request import printed_request
from pipelines.errors import BadRequest

MANIFEST = "spack:\n  specs: [zlib]\n"


def printed(folder: Path, **variables: str) -> dict[str, Any]:
    return printed_request({"environment": str(folder), "variables": variables}, folder)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_it_has_the_environments_files(tmp_path: Path) -> None:
    found = printed(write(tmp_path, spack_yaml=MANIFEST, spack_lock="{}", other_yaml=""))
    assert found == {"environment": "", "files": {"spack.yaml": MANIFEST, "spack.lock": "{}"}, "variables": {}}
    assert printed_request({"variables": {}}, tmp_path / "spack.lock")["files"] == {"spack.lock": "{}"}


def test_what_it_includes_from_its_own_folder_is_in_it_too(tmp_path: Path) -> None:
    text = (
        "spack:\n  include:\n  - configs\n  - {path: ./one.yaml}\n  - $env/two.yaml\n  - {path: gone.yaml, optional: true}\n"
        "  - /etc/theirs\n  - https://host/x.yaml\n  - $spack/x\n  - ~/x\n  - {git: https://host/x, paths: [a]}\n"
    )
    files = {
        "configs__ci_yaml": "ci: {}",
        "configs__notes_txt": "",
        "one_yaml": "include: [three.yaml]",
        "two_yaml": "",
        "three_yaml": "",
    }
    found = printed(write(tmp_path, spack_yaml=text, **files))
    assert set(found["files"]) == {"spack.yaml", "configs/ci.yaml", "one.yaml", "two.yaml", "three.yaml"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spack: {include: [../ci.yaml]}", "includes ../ci.yaml, which is outside"),
        ("spack: {'include:': [./../ci.yaml]}", "which is outside"),
        ("spack: {include: [.]}", "which is outside"),
        ("spack:\n  include:\n  - path: $env/../ci.yaml\n    optional: true\n", r"includes \.\./ci\.yaml, which is outside"),
    ],
)
def test_what_cannot_be_sent_is_rejected(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "ci.yaml").write_text("ci: {}")
    with pytest.raises(BadRequest, match=words):
        printed(write(tmp_path / "environment", spack_yaml=text))


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "spack: 1", "a: &a {b: *a}", "spack: {include: }", "spack: {include: [", "spack: {include: [gone.yaml]}"],
)
def test_odd_manifests_are_left_to_spack(tmp_path: Path, text: str) -> None:
    assert printed(write(tmp_path, spack_yaml=text))["files"] == {"spack.yaml": text}


def test_two_runs_on_the_same_files_are_one_request(tmp_path: Path) -> None:
    write(tmp_path, spack_yaml=MANIFEST)
    first, second = (
        printed(
            tmp_path,
            CI_PROJECT_DIR=f"/builds/{number}",
            CI_PIPELINE_CREATED_AT=f"2026-11-30T0{number}:00:00Z",
            CI_JOB_NAME="generate",
        )
        for number in (1, 2)
    )
    assert first == second
    assert first["variables"] == {"CI_JOB_NAME": "generate"}


def test_the_builds_of_one_pipeline_have_one_stamp_on_cdash(tmp_path: Path) -> None:
    write(tmp_path, spack_yaml="spack: {cdash: {build-group: Nightly}}")
    created = {"CI_PIPELINE_CREATED_AT": "2026-11-30T01:00:00Z"}
    assert printed(tmp_path, **created)["variables"] == created
    stamp = {"SPACK_CDASH_BUILD_STAMP": "20261130-0100-Nightly"}
    assert printed(tmp_path, **created, **stamp)["variables"] == stamp


def test_without_an_environment_or_text_there_is_no_request(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"neither a spack\.yaml nor a spack.lock"):
        printed(tmp_path)
    (tmp_path / "spack.yaml").write_bytes(b"\xff")
    with pytest.raises(BadRequest, match="is not text in UTF-8"):
        printed(tmp_path)
