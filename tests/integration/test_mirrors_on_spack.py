"""Mirrors and sources that cannot be had, on real Spack: who is named, and whether a retry is worth it."""

import contextlib
import http.server
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.labs.folder_server import served, serving
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, other_tree, read_telemetry

pytestmark = pytest.mark.spack

_DEAD_S3 = {"url": "s3://bucket/farm", "endpoint_url": "http://127.0.0.1:9"}


@contextlib.contextmanager
def answering(status: int, body: bytes = b"", *, length: int | None = None) -> Iterator[str]:
    """Answer each request on loopback in the same way; give the URL."""

    class Same(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  the base class names it so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as above
            pass

    with serving(Same) as url:
        yield url


WriteScope = Callable[..., Path]


@pytest.fixture
def scope(tmp_path: Path) -> WriteScope:
    """Return what writes a configuration scope with mirrors that wait for one second only."""

    def write(mirrors: dict[str, object], **config: object) -> Path:
        folder = tmp_path / "mirrors"
        folder.mkdir()
        (folder / "mirrors.yaml").write_text(json.dumps({"mirrors": mirrors}))
        (folder / "config.yaml").write_text(json.dumps({"config": {"connect_timeout": 1, **config}}))
        return folder

    return write


@pytest.mark.parametrize("mirror", [_DEAD_S3, "http://no-such-host.invalid/farm"], ids=["s3", "no name"])
def test_a_mirror_that_does_not_answer_while_planning_is_named_and_ends_with_4(
    lab: SpackLab, scope: WriteScope, tmp_path: Path, mirror: object
) -> None:
    done = lab.build("-C", scope({"deadfarm": mirror}), "libhello", "--out", tmp_path / "out")
    printed = done.stdout + done.stderr
    assert done.returncode == 4, printed
    assert "mirror 'deadfarm'" in printed
    assert ("try again later" in printed) is ("no-such-host" not in str(mirror))


def test_a_dead_mirror_is_only_a_warning_where_others_have_all(lab: SpackLab, scope: WriteScope, tmp_path: Path) -> None:
    mirrors = {"deadfarm": _DEAD_S3, "other": tmp_path.as_uri()}
    done = lab.build("-C", scope(mirrors), "libhello", "--out", tmp_path / "out")
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "warning: mirror 'deadfarm'" in printed


def test_packages_come_by_hash_from_a_mirror_with_a_broken_index_past_a_dead_one(
    lab: SpackLab, key: Key, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    needed = ("gcc-runtime", "compiler-wrapper")
    sent = lab.build(*needed, "--mirror", mirror, "--signing-key-file", key.secret, "--out", tmp_path / "1")
    assert sent.returncode == 0, sent.stdout
    (mirror / "v3/manifests/index/index.manifest.json").write_text("<html>Please log in</html>")
    other = other_tree(tmp_path, mirror)
    with served(mirror) as url:
        mirrors = {"adead": _DEAD_S3, "net": {"url": url, "signed": True, "source": False}}
        (other / "mirrors.yaml").write_text(json.dumps({"mirrors:": mirrors}))
        done = lab.build("-C", other, "libhello", "--trust", key.public, "--out", tmp_path / "2")
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "mirror 'net'" in printed
    assert "its index can't be read" in printed
    assert "installing 2 packages from the build cache" in printed


def test_a_mirror_whose_server_forbids_what_it_lacks_is_used(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    """S3 behind HTTP says 403 to what is not there, unless its users may list it."""
    mirror = tmp_path / "mirror"
    sent = lab.build("gcc-runtime", "--mirror", mirror, "--signing-key-file", key.secret, "--out", tmp_path / "1")
    assert sent.returncode == 0, sent.stdout
    other = other_tree(tmp_path, mirror)
    with served(mirror, absent=403) as url:
        (other / "mirrors.yaml").write_text(json.dumps({"mirrors:": {"net": {"url": url, "signed": True}}}))
        done = lab.build("-C", other, "libhello", "--trust", key.public, "--out", tmp_path / "2")
    printed = done.stdout + done.stderr
    assert "mirror 'net'" not in printed
    assert "gcc-runtime@12.2.0" in printed
    assert "installing 1 package from the build cache" in printed


def test_what_is_not_a_build_cache_is_named_where_a_package_of_it_may_be_needed(
    lab: SpackLab, scope: WriteScope, tmp_path: Path
) -> None:
    with answering(200, b"<html>Please log in</html>") as url:
        tree = scope({"portal": url}, install_tree={"root": str(tmp_path / "opt")})
        done = lab.build("-C", tree, "libhello", "--out", tmp_path / "out")
    printed = done.stdout + done.stderr
    assert done.returncode == 4, printed
    assert "mirror 'portal'" in printed
    assert "what answers there is not a build cache" in printed


def test_a_source_to_be_downloaded_by_hand_is_a_bad_request_that_names_the_file_and_its_place(
    lab: SpackLab, tmp_path: Path
) -> None:
    done = lab.build("hello-by-hand", "--out", tmp_path)
    printed = done.stdout + done.stderr
    assert done.returncode == 2, printed
    assert "hello-by-hand-1.0.tar" in printed
    assert f"Put it at {lab.folder}/hello-by-hand-1.0.tar" in printed
    assert not list(tmp_path.iterdir()), "nothing was built"


def test_a_source_of_unknown_origin_is_not_to_be_had_from_none(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-from-nowhere", "--out", tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"Put it at {lab.folder}/hello-from-nowhere-1.0.tar" in done.stderr
    assert "The recipe of hello-from-nowhere does not say where to get it." in done.stderr
    assert "None" not in done.stderr


def test_a_build_that_prints_a_fetch_error_has_not_failed_to_fetch(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-liar", "--out", tmp_path)
    assert done.returncode == 1, done.stdout
    document = read_telemetry(tmp_path, "hello-liar")
    assert (document.outcome, document.fetch_faults) == ("build_failed", [])


def test_a_source_that_is_nowhere_is_told_from_one_whose_server_is_busy(lab: SpackLab, tmp_path: Path) -> None:
    with answering(503) as url:
        scope = tmp_path / "scope"
        scope.mkdir()
        mirrors = {"busy": {"url": url, "binary": False, "source": True}}
        (scope / "mirrors.yaml").write_text(json.dumps({"mirrors:": mirrors}))
        done = lab.build("-C", scope, "hello-unfetchable", "--out", tmp_path / "out")
    assert done.returncode == 4, done.stdout
    busy, absent = read_telemetry(tmp_path / "out", "hello-unfetchable").fetch_faults
    assert busy.url.startswith(url)
    assert busy.may_pass
    assert "503" in busy.reason
    assert (absent.url, absent.may_pass) == ("file:///nowhere/hello-unfetchable-1.0.tar", False)
    assert "Try again: this often passes." in done.stdout
    assert not list((tmp_path / "out").glob("*/.fetch-report.json"))
