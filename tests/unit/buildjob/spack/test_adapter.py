"""Command lines of Spack, and what is made of its answers."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from buildjob.errors import FetchError, PublishError, RequestError, SpackError
from buildjob.spack import adapter
from buildjob.spack.adapter import Call, Spack, install_command
from buildjob.spack.concrete import ConcreteSpec, Concretization, Wanted
from buildjob.spack.find import SpackInstallation
from buildjob.spack.layout import mirror_scope, stage_folder, trusted_keys_home, version_of

APP = ConcreteSpec(
    hash="a" * 32, name="app", version="1.0", spec_file="/specs/a.json", prefix="/opt/app", external=False, installed=False,
    binary="", architecture="", compiler="", variants={}, dependencies=[], stage_name="spack-stage-app-1.0-" + "a" * 32,
)  # fmt: skip
_INSTALL = Path(adapter.__file__).parent / "inside" / "install.py"
FOUND = Concretization(
    environment="", external_roots=[], roots=[APP.hash], specs=[APP], mirrors=[], secret_variables=[], stage_root="/stage",
    spack_version="1.1.0", spack_commit="", packages_commit="", build_jobs=4,
)  # fmt: skip


def spack(folder: Path, call: Call = lambda _argv, _variables: (0, b""), *scopes: Path) -> Spack:
    installation = SpackInstallation(root=folder, found="the test", python=Path("/venv/python"), tools=Path("/tools"))
    return Spack(installation, call=call, scopes=scopes)


def answering(answer: object, code: int = 0, printed: bytes = b"") -> Call:
    """A Spack that writes an answer into the file that it is given."""

    def call(argv: list[str], _variables: Mapping[str, str]) -> tuple[int, bytes]:
        if answer is not None:
            Path(argv[-1]).write_bytes(msgspec.json.encode(answer))
        return code, printed

    return call


def test_every_command_line_has_the_scopes_and_no_active_environment(tmp_path: Path) -> None:
    argv = spack(tmp_path, lambda _argv, _variables: (0, b""), Path("/a")).in_environment("/e").argv("spec", "zlib")
    assert argv[:6] == [str(tmp_path / "bin/spack"), "-E", "-C", "/e", "-C", "/a"]
    assert argv[-2:] == ["spec", "zlib"]


def test_a_package_is_built_alone_and_dependencies_are_only_fetched(tmp_path: Path) -> None:
    one = spack(tmp_path)
    assert one.install_argv(APP, jobs=3, fetch_report=Path("/r"))[-6:] == [
        "--verbose",
        "--no-cache",
        "--only=package",
        "-j",
        "3",
        "/specs/a.json",
    ]
    assert "-j" not in one.install_argv(APP, jobs=None, fetch_report=Path("/r"))
    assert one.fetch_argv([APP])[-3:] == ["none", "--cache-only", "/specs/a.json"]


def test_only_what_is_asked_for_is_marked_as_explicit_and_only_changed_sources_are_built_again(tmp_path: Path) -> None:
    one = spack(tmp_path)
    root = msgspec.structs.replace(APP, is_explicit=True, hash="b" * 32)
    assert one.install_argv(root, jobs=None, fetch_report=Path("/r"))[-8:-3] == [
        str(_INSTALL),
        root.hash,
        "/r",
        "none",
        "--verbose",
    ]
    assert one.install_argv(root, jobs=None, fetch_report=Path("/r"), pipes=(5, 8))[-5] == "5,8"
    assert one.fetch_argv([APP, root])[-6:-2] == [root.hash, "none", "none", "--cache-only"]
    outdated = msgspec.structs.replace(root, installed=True, outdated=True)
    assert "--overwrite" in one.install_argv(outdated, jobs=None, fetch_report=Path("/r"))
    assert "--overwrite" not in one.install_argv(root, jobs=None, fetch_report=Path("/r"))
    assert "--no-verdict" in one.install_argv(root, jobs=None, fetch_report=Path("/r"), has_verdict=False)
    assert "--no-verdict" not in one.install_argv(root, jobs=None, fetch_report=Path("/r"))


def test_what_packs_is_told_the_package_in_one_line_of_input(tmp_path: Path) -> None:
    one = spack(tmp_path)
    assert one.pack_argv()[-1].endswith("inside/pack.py")
    assert json.loads(one.pack_input(Path("/u"), pack=[APP], private=False)) == {
        "url": "file:///u", "pack": [APP.hash], "copied": [], "left_out": [], "private": False,
    }  # fmt: skip


def test_what_packs_answers_in_its_last_line_or_has_failed(tmp_path: Path) -> None:
    one = spack(tmp_path)
    answer = one.packed(0, b'a line of Spack\n{"packed": ["a"], "not_redistributable": ["b"]}\n')
    assert (answer.packed, answer.not_redistributable) == (["a"], ["b"])
    for code, printed in ((1, b"==> Error: full\n"), (0, b"==> Error: full\n")):
        with pytest.raises(PublishError, match="Spack could not write the binary: ==> Error: full"):
            one.packed(code, printed)


def test_the_environment_gets_what_spack_needs(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1", "X": "y"}
    changed = spack(tmp_path).environment(given, gpg_home=Path("/g"))
    assert changed == {
        "PATH": "/bin:/tools", "X": "y", "PYTHONUNBUFFERED": "1", "SPACK_PYTHON": "/venv/python", "SPACK_GNUPGHOME": "/g",
    }  # fmt: skip
    assert "SPACK_GNUPGHOME" not in spack(tmp_path).environment(given)
    bare = Spack(SpackInstallation(root=tmp_path, found=""), call=lambda _argv, _variables: (0, b""))
    assert bare.environment({"X": "y"}) == {"X": "y", "PYTHONUNBUFFERED": "1"}


def test_spack_answers_with_a_concretization_or_with_its_reason(tmp_path: Path) -> None:
    assert spack(tmp_path, answering(FOUND)).concretize(Wanted(specs=["app"]), tmp_path, environment={}) == FOUND
    with pytest.raises(RequestError, match="Spack says: no such package"):
        spack(tmp_path, answering({"error": "no such package"})).concretize(Wanted(), tmp_path, environment={})
    with pytest.raises(FetchError, match=r"a retry may help\. It says: git clone"):
        spack(tmp_path, answering({"error": "git clone", "is_fetch": True})).concretize(Wanted(), tmp_path, environment={})
    with pytest.raises(SpackError, match="gave no answer and no error"):
        spack(tmp_path, answering(None)).concretize(Wanted(), tmp_path, environment={})


def test_remote_mirrors_are_asked_for_specs_by_their_files(tmp_path: Path) -> None:
    answer = {"available": {"x": "farm"}, "mirror_faults": [{"mirror": "m", "url": "s3://m", "kind": "refused"}]}
    found = spack(tmp_path, answering(answer)).lookup([APP], silent=["other"], environment={})
    assert found.available == {"x": "farm"}
    assert found.mirror_faults[0].is_silent


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (b"==> Error: broken\nTraceback\n", "==> Error: broken"),
        (b"one\ntwo\n\n", "two"),
        (b"", "it printed nothing"),
    ],
)
def test_a_spack_that_fails_is_quoted(tmp_path: Path, printed: bytes, reason: str) -> None:
    with pytest.raises(SpackError, match=f"python ended with 3: {reason}"):
        spack(tmp_path, answering(None, 3, printed)).concretize(Wanted(), tmp_path, environment={})


def test_a_program_of_spack_that_is_missing_is_an_error_of_spack(tmp_path: Path) -> None:
    def call(_argv: list[str], _variables: Mapping[str, str]) -> tuple[int, bytes]:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(SpackError, match="does not start: No such file"):
        spack(tmp_path, call).version({})
    assert spack(tmp_path, lambda _argv, _variables: (0, b"1.1.0\n")).version({}) == "1.1.0"


def source(folder: Path, text: str) -> SpackInstallation:
    init = folder / "lib" / "spack" / "spack" / "__init__.py"
    init.parent.mkdir(parents=True, exist_ok=True)
    init.write_text(text)
    return SpackInstallation(root=folder, found="")


@pytest.mark.parametrize("version", ["1.1.2", "1.2.0.dev0", "1.2.10", "", "main"])
def test_a_supported_version_is_taken_without_starting_it(version: str, tmp_path: Path) -> None:
    assert version_of(source(tmp_path, f'__version__ = "{version}"\n')) == version
    assert not spack(tmp_path).version_warning()


@pytest.mark.parametrize("version", ["0.23.1", "1.0.4", "1.0"])
def test_an_older_version_is_rejected(version: str, tmp_path: Path) -> None:
    source(tmp_path, f'__version__ = "{version}"\n')
    with pytest.raises(SpackError, match=rf"Spack {version} at .* is not supported, 1\.1 and later are"):
        spack(tmp_path).version_warning()


@pytest.mark.parametrize("version", ["1.3.0", "1.10.0", "2.0.0.dev0"])
def test_a_newer_version_is_tried_with_a_warning(version: str, tmp_path: Path) -> None:
    source(tmp_path, f'__version__ = "{version}"\n')
    assert f"Spack {version} at {tmp_path} is newer than 1.2" in spack(tmp_path).version_warning()


def test_what_is_no_checkout_has_no_version(tmp_path: Path) -> None:
    assert version_of(source(tmp_path, "")) == ""
    with pytest.raises(SpackError, match="is this a Spack checkout"):
        version_of(SpackInstallation(root=tmp_path / "absent", found=""))


def test_spacks_folders(tmp_path: Path) -> None:
    installation = SpackInstallation(root=tmp_path, found="")
    assert trusted_keys_home(installation, {}) == tmp_path / "opt/spack/gpg"
    assert trusted_keys_home(installation, {"SPACK_GNUPGHOME": "/g"}) == Path("/g")
    assert stage_folder(FOUND, APP) == Path(f"/stage/spack-stage-app-1.0-{'a' * 32}")


def test_the_target_is_one_more_mirror(tmp_path: Path) -> None:
    scope = mirror_scope(tmp_path / "s", url="s3://b/x", signed=True, endpoint_url="http://h")
    mirror = json.loads((scope / "mirrors.yaml").read_text())["mirrors"]["spack-farm"]
    assert mirror == {"url": "s3://b/x", "signed": True, "source": False, "binary": True, "endpoint_url": "http://h"}
    mirror_scope(scope, url="file:///m", signed=False, endpoint_url="http://h")
    assert "endpoint_url" not in (scope / "mirrors.yaml").read_text()


def test_commands_as_people_write_them() -> None:
    assert install_command(APP) == "spack install app@1.0"
