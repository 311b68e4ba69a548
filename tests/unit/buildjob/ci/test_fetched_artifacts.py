"""What a run left is found in folders and archives, and at the addresses that GitLab has for it."""

import json
import os
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from buildjob.ci.fetched_artifacts import SameServer, artifacts_url, run_folder_of
from buildjob.errors import RequestError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://git.example/a/b/-/jobs/7", "https://git.example/a/b/-/jobs/7/artifacts/download"),
        ("https://git.example/a/b/-/jobs/7/", "https://git.example/a/b/-/jobs/7/artifacts/download"),
        ("https://git.example/a/b/-/jobs/7/artifacts/browse?x=1#y", "https://git.example/a/b/-/jobs/7/artifacts/download"),
        ("https://git.example/a/b/-/jobs/7/raw", "https://git.example/a/b/-/jobs/7/artifacts/download"),
        ("http://h:8080/api/v4/projects/5/jobs/7/artifacts", "http://h:8080/api/v4/projects/5/jobs/7/artifacts"),
        ("https://store.example/x.zip", "https://store.example/x.zip"),
        ("https://store.example/x.zip?X-Sig=a%2Fb&e=1#top", "https://store.example/x.zip?X-Sig=a%2Fb&e=1"),
        (
            "https://h/api/v4/projects/5/jobs/artifacts/main/download?job=a b",
            "https://h/api/v4/projects/5/jobs/artifacts/main/download?job=a%20b",
        ),
        ("https://git.example/größe/b c/-/jobs/7", "https://git.example/gr%C3%B6%C3%9Fe/b%20c/-/jobs/7/artifacts/download"),
    ],
)
def test_a_page_leads_to_its_artifacts(text: str, expected: str) -> None:
    assert artifacts_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h/x", "file:///etc", "https://user:pw@h/x", "https://@h/x", "https:///x", "https://h/a/-/pipelines/3",
        "http://h:99999/x", "http://h:0/x", "http://h:abc/x", "http://[::1/x", f"http://{'a' * 70}.example/x",
    ],
)  # fmt: skip
def test_other_addresses_are_rejected(text: str) -> None:
    with pytest.raises(RequestError, match="--reproduce"):
        artifacts_url(text)


@pytest.mark.parametrize(
    ("place", "is_kept"),
    [
        ("https://h/y", True),
        ("https://h:444/y", False),
        ("https://store.example/y", False),
        ("http://h/y", False),  # readable on its way
    ],
)
def test_a_redirection_elsewhere_leaves_the_token_behind(place: str, *, is_kept: bool) -> None:
    asked = urllib.request.Request("https://h/x", headers={"Private-Token": "t"})
    again = SameServer().redirect_request(asked, None, 302, "", Message(), place)  # type: ignore[no-untyped-call]
    assert again is not None
    assert again.has_header("Private-token") == is_kept


def _run(folder: Path, name: str, document: object = None) -> Path:
    run = folder / name
    (run / "reproduce").mkdir(parents=True)
    (run / "telemetry.json").write_text(json.dumps(document or {}))
    (run / "spec.json").write_text("{}")
    (run / "reproduce" / "telemetry.json").write_text("not a run")
    return run


def _find(source: Path, scratch: Path, dag_hash: str = "") -> Path:
    return run_folder_of(str(source), scratch, dag_hash=dag_hash, variables={})


def test_a_run_folder_and_a_folder_above_it(tmp_path: Path) -> None:
    run = _run(tmp_path / "out", "zlib-1.0-abcdefg")
    assert _find(run, tmp_path) == run
    assert _find(tmp_path / "out", tmp_path) == run


def test_of_several_runs_the_hash_chooses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = _run(out, "zlib-1.0-abcdefg", {"spec": {"hash": "abcdefghijk"}})
    _run(out, "zlib-1.0-bbbbbbb", {"spec": {"hash": "bbbbbbbcccc"}})
    cut = _run(out, "zlib-1.0-ccccccc-2")
    moved = _run(out, "mine", {"spec": {"hash": "ddddddddddd"}})
    assert _find(out, tmp_path, "abcdefghijk") == run
    assert _find(out, tmp_path, "/abc") == run
    assert _find(out, tmp_path, "ccccccc") == cut, "who reads its document says what is wrong with it"
    assert _find(out, tmp_path, "ddddddd") == moved
    with pytest.raises(RequestError, match="holds 4 runs, choose one by --hash: mine, zlib-"):
        _find(out, tmp_path)
    # neither other characters of a folder's name nor a hash that goes on in another way
    for text in ("zlib", "1.0", "bbbbbbbzzzz", "eeeeeee"):
        with pytest.raises(RequestError, match=f"no spec with a hash that begins with '{text}', .* mine, zlib-"):
            _find(out, tmp_path, text)


def test_of_several_runs_of_one_spec_the_last_one_is_taken(tmp_path: Path) -> None:
    for name, hour in (("zlib-1.0-abcdefg", 2), ("zlib-1.0-abcdefg-2", 3), ("zlib-1.0-abcdefg-3", 1)):
        run = _run(tmp_path / "out", name)
        document = {"ended_at": f"2026-11-30T0{hour}:00:00Z", "spec": {"hash": "abcdefghij"}}
        (run / "telemetry.json").write_text(json.dumps(document))
    assert _find(tmp_path / "out", tmp_path).name == "zlib-1.0-abcdefg-2"


def test_of_an_archive_only_plain_files_of_runs_are_taken(tmp_path: Path) -> None:
    archive = tmp_path / "artifacts.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in ("a/telemetry.json", "a/spec.json", "a/reproduce/config.yaml", "a/secret.txt", "../spec.json"):
            packed.writestr(name, "{}")
        packed.writestr("/abs/spec.json", "{}")
    (tmp_path / "scratch").mkdir()
    folder = _find(archive, tmp_path / "scratch")
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"telemetry.json", "spec.json", "config.yaml"}
    assert not (tmp_path / "spec.json").exists()
    assert not (tmp_path / "scratch" / "spec.json").exists()


def _archive(path: Path, *, method: int = zipfile.ZIP_DEFLATED, sizes: dict[str, int]) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, size in sizes.items():
            packed.writestr(name, bytes(size))
    return path


def test_an_archive_that_grows_without_bound_is_rejected(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "x.zip", sizes={f"{number}/telemetry.json": 60 << 20 for number in range(9)})
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(RequestError, match="more than 5000 files or 512 MiB to unpack"):
        _find(archive, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_gitlab_does_not_pack_with_are_rejected(tmp_path: Path, method: int) -> None:
    with pytest.raises(RequestError, match="in a way that GitLab does not use"):
        _find(_archive(tmp_path / "x.zip", method=method, sizes={"a/spec.json": 10}), tmp_path)


def test_a_damaged_archive_is_rejected(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/spec.json", os.urandom(500).hex())
    whole = archive.read_bytes()
    for at in range(45, 300, 10):
        archive.write_bytes(whole[:at] + b"\xff\x00\xa5" + whole[at + 3 :])
        with pytest.raises(RequestError, match="the archive can't be read"):
            _find(archive, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"<html>"])
def test_what_is_no_archive_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(RequestError, match="neither a folder nor a zip archive"):
        _find(tmp_path / "x.zip", tmp_path)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere", "there is no such file or folder"),
        ("nowhere/telemetry.json", "there is no such file or folder"),
        ("git.example/a/b/-/jobs/7", "no such file or folder; .* begins with https://"),
        ("a link", "there is no such file or folder"),
        ("a circle", "Too many levels of symbolic links"),
        ("a file/below", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("a file", "neither a folder nor a zip archive"),
        ("an empty file", "neither a folder nor a zip archive"),
        ("a pipe", "neither a folder nor a zip archive"),
        ("a folder", "no run of a Spack package is in it"),
    ],
)
def test_what_is_no_run_is_named_with_its_reason(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "a link").symlink_to(tmp_path / "gone")
    (tmp_path / "a circle").symlink_to(tmp_path / "a circle")
    (tmp_path / "a file").write_text("PK no archive")
    (tmp_path / "an empty file").touch()
    os.mkfifo(tmp_path / "a pipe")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(RequestError, match=reason) as raised:
        _find(tmp_path / source, tmp_path)
    assert str(raised.value).startswith(f"--reproduce {tmp_path / source}: ")
