"""What the generator reads: indexes, requests, git's files, the environment of S3; what a fingerprint covers."""

import ast
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inside import fingerprint, git_heads, inputs, request
from pipelines.inside.mirror import etag, index_reader, s3_request
from pipelines.inside.specs import BadRequest, joined

INSIDE = Path(fingerprint.__file__).parent


@pytest.mark.parametrize("path", sorted(INSIDE.rglob("*.py")), ids=lambda path: str(path.relative_to(INSIDE)))
def test_the_generator_is_written_for_python_from_3_6_on(path: Path) -> None:
    ast.parse(path.read_text("utf-8"), feature_version=(3, 6))


def index(installs: dict[str, Any], **others: Any) -> bytes:
    return json.dumps({**others, "database": {"version": "8", "installs": installs}, "more": [1]}).encode()


def test_an_index_lists_what_is_in_the_build_cache() -> None:
    installs = {"a": {"spec": {"in_buildcache": False}}, "b": {"in_buildcache": False}, "c": {"in_buildcache": True}, "d": 3}
    assert index_reader.binaries(io.BytesIO(index(installs, before={"database": 1}))) == {"a", "c"}
    assert index_reader.binaries(io.BytesIO(index({}))) == set()


@given(st.dictionaries(st.text(min_size=1), st.fixed_dictionaries({"spec": st.text()}), max_size=5), st.integers(1, 40))
def test_an_index_reads_the_same_however_it_is_cut(installs: dict[str, Any], window: int) -> None:
    class Slow(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            return super().read(window)

    content = json.dumps({"database": {"installs": installs}, "z": 12345}, ensure_ascii=False, indent=window % 3 or None)
    assert index_reader.binaries(Slow(content.encode("utf-8", "surrogatepass"))) == set(installs)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut off"),
        (b"<html>", "'<'"),
        (b"[]", r"'\['"),
        (b"{}", "no 'database' with 'installs'"),
        (b'{"database": {}}', "no 'database' with 'installs'"),
        (b'{"database": []}', r"'\['"),
        (index({"a": {}})[:-20], "cut off"),
        (b'{"database": {"installs": {"a": {"spec": ', "cut off"),
        (b'{"database": {"installs": {"a": {}', "cut off"),
        (b'{"database": {"installs": {1: {}}}}', "as a key"),
        (b'{"database": {"installs": {"a": ' + b"[" * 100_000, "nested too deep|cut off"),
        (b'{"database": {"installs": {"\xff": {}}}}', "no text"),
        (b"\x1f\x8b" + bytes(20), "no text|expected"),
    ],
)
def test_what_is_no_index_is_rejected_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(index_reader.NotAnIndex, match=reason):
        index_reader.binaries(io.BytesIO(content))


def test_an_entry_that_never_ends_is_not_kept_in_memory() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            self.begun = bool(getattr(self, "begun", ""))
            head = b"" if self.begun else b'{"database": {"installs": {"a": "'
            self.begun = True
            return head + b"x" * size

    with pytest.raises(index_reader.NotAnIndex, match="an entry of more than 64 MiB"):
        index_reader.binaries(Endless())  # type: ignore[arg-type]  # only `read` is used


GOOD: dict[str, Any] = {"environment": "env"}


def test_a_request_has_a_default_for_everything_but_the_environment() -> None:
    found = request.read(json.dumps(GOOD).encode())
    assert (found.environment, found.match_order, found.max_needs) == ("env", "first", 50)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"environment": ""}, "either 'environment' or 'files'"),
        ({"files": {"spack.yaml": ""}}, "either 'environment' or 'files'"),
        ({"version": 2}, "has version 2"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"fresh": 1}, "'fresh' must be of type bool"),
        ({"max_jobs": True}, "'max_jobs' must be of type int"),
        ({"max_jobs": 3}, "'max_jobs' must be from 4 to 100000"),
        ({"max_name": 256}, "'max_name' must be from 48 to 255"),
        ({"match_order": "merge"}, "'match_order' must be one of: first, last"),
        ({"artifacts_root": "../x"}, "'artifacts_root' must be a relative path"),
        ({"output_folder": "/x"}, "'output_folder' must be a relative path"),
        ({"artifacts_root": "x/y", "output_folder": "x"}, "'output_folder' must be another folder than 'artifacts_root'"),
        ({"artifacts_root": "./x/", "output_folder": "x"}, "'output_folder' must be another folder than 'artifacts_root'"),
        ({"environment": "", "files": {"../x": ""}}, "'files' must have relative paths"),
        ({"environment": "", "files": {"x": 1}}, "'files' must have texts"),
        ({"variables": {"A": None}}, "'variables' must have texts"),
        ({"forward": [1]}, "'forward' must have texts"),
        ({"matches": [{"match": []}]}, r"matches\[0\] must have 'match'"),
        ({"matches": [{"match": ["a"], "ram": 1}]}, r"matches\[0\] must have 'match'"),
        ({"matches": ["a"]}, r"matches\[0\] must have 'match'"),
    ],
)
def test_a_request_that_cannot_work_is_rejected_with_its_key(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        request.read(json.dumps(GOOD | changes).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_request_is_rejected(content: bytes) -> None:
    with pytest.raises(BadRequest, match="the request"):
        request.read(content)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", True), ("a/b.yml", True), ("a/..b", True), ("", False), (".", False), ("..", False), ("a/../b", False),
        ("/a", False), ("~/a", False), ("a\0", False), ("a\\..\\b", False), (" ", False),
    ],
)  # fmt: skip
def test_a_path_of_a_request_stays_in_its_folder(path: str, expected: bool) -> None:  # noqa: FBT001
    assert request.is_inside(path) is expected


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_commit_of_a_checkout_is_found_wherever_git_keeps_it(tmp_path: Path) -> None:
    git = tmp_path / "repo/.git"
    (git / "refs/heads").mkdir(parents=True)
    inner = tmp_path / "repo/a/b"
    inner.mkdir(parents=True)
    assert git_heads.commit(str(inner)) == ""
    (git / "HEAD").write_text(COMMIT + "\n")
    assert git_heads.commit(str(inner)) == COMMIT
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{COMMIT} refs/heads/main\n^{COMMIT}\n")
    assert git_heads.commit(str(inner)) == COMMIT
    (git / "refs/heads/main").write_text(COMMIT[::-1] + "\n")
    assert git_heads.commit(str(inner)) == COMMIT[::-1]
    worktree = git / "worktrees/w"
    worktree.mkdir(parents=True)
    (worktree / "HEAD").write_text("ref: refs/heads/main\n")
    (worktree / "commondir").write_text("../..\n")
    other = tmp_path / "w"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {worktree}\n")
    assert git_heads.commit(str(other)) == COMMIT[::-1]
    assert git_heads.is_checkout(str(other))


@pytest.mark.parametrize("head", ["ref: refs/heads/gone", "ref: HEAD", "nonsense", ""])
def test_a_head_that_names_no_commit_is_none(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text(head)
    assert git_heads.commit(str(tmp_path)) == ""


def test_a_broken_worktree_and_no_checkout_at_all_have_no_commit(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("nonsense")
    assert git_heads.commit(str(tmp_path)) == ""


def test_a_request_to_s3_is_signed_as_amazon_describes_it() -> None:
    """The example of the documentation, "GET Object", without its range header."""
    who = s3_request.Access("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "us-east-1", "")
    url, headers = s3_request.signed("s3://examplebucket/test.txt", "GET", who, dt.datetime(2013, 5, 24, tzinfo=dt.UTC))
    assert url == "https://examplebucket.s3.us-east-1.amazonaws.com/test.txt"
    assert headers["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
    )


@pytest.mark.parametrize(
    ("url", "endpoint", "expected"),
    [
        ("s3://b/k/x y", "http://h:1/p/", "http://h:1/p/b/k/x%20y"),
        ("s3://b/k", "h.example", "https://h.example/b/k"),
        ("s3://b.c/k", "", "https://s3.eu.amazonaws.com/b.c/k"),
        ("s3://b/k", "", "https://b.s3.eu.amazonaws.com/k"),
    ],
)
def test_an_object_has_its_address_on_each_kind_of_server(url: str, endpoint: str, expected: str) -> None:
    assert s3_request.signed(url, "HEAD", s3_request.Access("i", "s", "t", "eu", endpoint))[0] == expected


@pytest.mark.parametrize(
    ("mirror", "variables", "expected"),
    [
        ({}, {}, None),
        ({}, {"AWS_ACCESS_KEY_ID": "i"}, None),
        ({}, {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "s"}, ("i", "s", "", "us-east-1", "")),
        ({"profile": "p"}, {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "s"}, None),
        (
            {"access_key_id": "a", "access_key_secret": "b", "access_token": "c", "endpoint_url": "e", "region": "r"},
            {"AWS_SESSION_TOKEN": "other", "S3_ENDPOINT_URL": "other"},
            ("a", "b", "c", "r", "e"),
        ),
        (
            {},
            {
                "AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "S3_ENDPOINT_URL": "e",
                "AWS_DEFAULT_REGION": "r",
            },
            ("i", "s", "t", "r", "e"),
        ),
    ],
)  # fmt: skip
def test_access_keys_are_those_of_the_mirror_or_of_the_environment(
    mirror: dict[str, str], variables: dict[str, str], expected: tuple[str, ...] | None
) -> None:
    assert s3_request.access(mirror, variables) == expected


@pytest.mark.parametrize("mirror", ["ftp://host/x", "s3://bucket/x"])
def test_a_mirror_that_cannot_be_asked_has_no_fingerprint(mirror: str) -> None:
    with pytest.raises(ValueError, match=r"only file|no access keys"):
        etag.etag(mirror, {})


@pytest.mark.parametrize("name", [etag.MANIFEST, etag.OLD])
def test_the_index_of_a_folder_has_its_digest(tmp_path: Path, name: str) -> None:
    url = (tmp_path / "a cache").as_uri()
    seen = {etag.etag(url, {}), etag.etag(str(tmp_path / "a cache/"), {})}
    assert seen == {""}
    file = tmp_path / "a cache" / name
    file.parent.mkdir(parents=True)
    for text in ("one", "two"):
        file.write_text(text)
        seen.add(etag.etag(url, {}))
        assert etag.etag(str(tmp_path / "a cache"), {}) in seen
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spack:\n  include:\n  - a.yaml\n  - b.yaml  # c.yaml\n  specs: [a.yaml]\n", ["a.yaml", "b.yaml"]),
        ("spack:\n  include::\n    - path: a.yaml\n      optional: true\n  view: b.yaml\n", ["a.yaml"]),
        ("spack:\n  include: [a.yaml, 'b.yaml']\n", ["a.yaml", "b.yaml"]),
        ("spack:\n  include:\n    [a.yaml,\n     b.yaml]\n  specs: [c.yaml]\n", ["a.yaml", "b.yaml"]),
        ('{"spack": {"include": ["a.yaml"], "specs": ["b.yaml"]}}', ["a.yaml"]),
        ("{spack: {include: [a.yaml], specs: [b.yaml]}}", ["a.yaml"]),
        ("repos:\n  one: a.yaml\n  two:\n    git: x\n    destination: $env/b.yaml\nconfig: c.yaml\n", ["a.yaml", "b.yaml"]),
        ('{"repos:": {"one": "${env}/a.yaml"}}', ["a.yaml"]),
        ("include:\n# - a.yaml\n- ~/b.yaml\n\n- c.yaml\n", ["b.yaml", "c.yaml"]),
        ("# include: a.yaml\nincludes: b.yaml\n", []),
        ("include: [a.yaml", ["a.yaml"]),
        ("include:", []),
    ],
)
def test_what_an_environment_includes_and_where_its_repositories_are(tmp_path: Path, text: str, expected: list[str]) -> None:
    for name in "abc":
        (tmp_path / f"{name}.yaml").touch()
    found = inputs.Inputs({"HOME": str(tmp_path), "PATH": ""}).named(text, str(tmp_path))
    assert [Path(path).name for path in found] == expected


def test_the_recipes_of_a_package_repository_are_not_searched_for_configuration(tmp_path: Path) -> None:
    for name in ("repo.yaml", "packages/zlib/package.py", "packages/zlib/data.yaml", ".git/HEAD", ".git/x.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(COMMIT)
    found = inputs.Inputs({"PATH": "", "HOME": "/none", "SPACK_SYSTEM_CONFIG_PATH": "/none"})
    found.add_configuration([str(tmp_path)])
    assert [name for name, _ in found.parts] == [str(tmp_path / "repo.yaml"), f"commit of {tmp_path}"]


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"include: [{other}.yaml, .]\n")
    found = inputs.Inputs({"PATH": ""})
    found.add_environment("", {"spack.yaml": f"include: [{tmp_path}/a.yaml]"})
    assert sorted(path for path, _ in found.parts if path.endswith("yaml")) == [
        str(tmp_path / "a.yaml"),
        str(tmp_path / "b.yaml"),
    ]


def test_a_long_list_is_shortened_in_a_message() -> None:
    assert joined(["a", "b"]) == "a, b"
    assert joined(list("abcdefg"), 3) == "a, b, c and 4 more"
