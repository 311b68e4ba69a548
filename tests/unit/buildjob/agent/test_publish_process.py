"""What the agent reads of `spack-farm publish`: its JSON, and its last line where it died without any."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from buildjob.agent import publish_process
from buildjob.agent.request import Target
from buildjob.buildcache import layout
from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.errors import AgentError, PublishError, RequestError
from buildjob.prestarted_input import PrestartedInput
from buildjob.spack.concrete import ConcreteSpec

S3 = Target(url="s3://bucket/x", folder=None, signing_key_file=None)
SPECS = [
    ConcreteSpec(
        hash=letter * 32, name=name, version="1", spec_file="", prefix="", external=False, installed=False, binary="",
        stage_name="", architecture="", compiler="", variants={}, dependencies=[],
    )
    for letter, name in (("a", "app"), ("b", "lib"))
]  # fmt: skip
APP_KEY = layout.manifest_key("app", "1", "a" * 32)


def published(code: int, printed: bytes) -> frozenset[str]:
    return publish_process.published(lambda _argv, _variables: (code, printed), S3, SPECS, trust=None, variables={})


def test_a_push_says_what_it_has_published() -> None:
    own, other = f"s3://b/{APP_KEY}", f"s3://b/{APP_KEY.replace('a' * 32, 'b' * 32)}"
    printed = (
        b"spack-farm: warning: slow\n"
        + json.dumps({"manifests": [own, other], "bytes": 7}).encode()
        + b"\nspack-farm: done\n"
    )
    publish = publish_process.pushed(0, printed, dag_hash="a" * 32, begun=0.0)
    assert (publish.state, publish.url, publish.bytes) == ("published", own, 7)


@pytest.mark.parametrize("code", [0, 1])
def test_what_is_published_is_an_answer_also_where_something_is_missing(code: int) -> None:
    assert published(code, f'["{APP_KEY}"]\n'.encode()) == {"a" * 32}


@pytest.mark.parametrize(
    ("printed", "error"),
    [
        (b'{"error": "the bucket is full", "outcome": "publish_failed"}\n', PublishError("the bucket is full")),
        (b'{"error": "no such file", "outcome": "bad_request"}\nError: no such file\n', RequestError("no such file")),
        (b'{"error": "a bug", "outcome": null}', PublishError("a bug")),
        (b"one\nlast line\n", PublishError("spack-farm publish ended with 3: last line")),
        (b"{not JSON\n", PublishError("spack-farm publish ended with 3: {not JSON")),
        (b"", PublishError("spack-farm publish ended with 3, and printed nothing")),
    ],
)
def test_an_error_keeps_its_class_and_its_message(printed: bytes, error: AgentError) -> None:
    for ask in (
        lambda: publish_process.pushed(3, printed, dag_hash="", begun=0.0),
        lambda: published(3, printed),
        lambda: publish_process.send_telemetry(lambda _argv, _variables: (3, printed), "s3://b", [], variables={}),
    ):
        with pytest.raises(type(error)) as raised:
            ask()
        assert str(raised.value) == str(error)


def test_success_without_an_answer_is_an_error() -> None:
    with pytest.raises(PublishError, match="ended with 0, and printed nothing"):
        published(0, b"")


def test_the_whole_environment_is_given_in_one_line_with_spacks_own_address() -> None:
    line = publish_process.push_input(S3, {"S3_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "s"})
    assert b"\n" not in line
    assert b'"SPACK_FARM_PUBLISH_ENDPOINT_URL":"http://127.0.0.1:1"' in line
    assert b'"AWS_SECRET_ACCESS_KEY":"s"' in line


def test_a_key_and_its_passphrase_are_named_on_the_command_line_never_given() -> None:
    key, phrase = KeySource(title="k", file=Path("/key")), KeySource(title="p", file=Path("/phrase"))
    target = Target(url="s3://b/x", folder=None, signing_key_file=key, passphrase_file=phrase)
    argv = publish_process.push_argv(target, Path("/unsigned"), private=False, variables={})
    assert argv[-4:] == ["--signing-key-file", "/key", "--signing-passphrase-file", "/phrase"]
    assert msgspec.json.decode(publish_process.push_input(target, {}))["held"] == {}
    assert "--unsigned" in publish_process.push_argv(S3, Path("/unsigned"), private=False, variables={})


def test_a_key_from_a_pipe_is_given_with_the_input_and_is_on_no_command_line() -> None:
    target = Target(url="s3://b/x", folder=None, signing_key_file=KeySource(title="k", held=b"a\nkey"))
    argv = publish_process.push_argv(target, Path("/unsigned"), private=False, variables={})
    assert not {"--signing-key-file", "--unsigned"} & set(argv)
    line = publish_process.push_input(target, {"X": "y"})
    assert b"\n" not in line
    given = msgspec.json.decode(line, type=PrestartedInput)
    assert (given.environment["X"], given.held) == ("y", {"--signing-key-file": b"a\nkey"})


def test_only_the_binaries_that_are_asked_for_are_verified() -> None:
    asked: list[str] = []

    def call(argv: list[str], _variables: Mapping[str, str]) -> tuple[int, bytes]:
        asked.extend(argv)
        return 0, b"[]"

    publish_process.published(call, S3, SPECS, trust=None, variables={})
    assert asked[asked.index("--only") + 1] == APP_KEY
    assert asked.count("--only") == 2
    assert "--any-signer" in asked


def test_a_list_of_binaries_is_asked_for_in_a_file_and_answered_by_hash() -> None:
    asked: list[str] = []

    def call(argv: list[str], _variables: Mapping[str, str]) -> tuple[int, bytes]:
        asked.extend(Path(argv[argv.index("--of") + 1]).read_text().split())
        return 0, json.dumps([APP_KEY, "foreign"]).encode()

    assert publish_process.present(call, S3, SPECS, variables={}) == {"a" * 32}
    assert asked[0] == APP_KEY
    assert len(asked) == 2


def test_what_no_client_would_take_is_not_there() -> None:
    asked: list[str] = []

    def call(argv: list[str], _variables: Mapping[str, str]) -> tuple[int, bytes]:
        asked.append(argv[argv.index("--require") + 1])
        return 0, b"[]"

    signed = msgspec.structs.replace(S3, signing_key_file=KeySource(file=Path("key"), title="key"))
    for target in (S3, signed):
        assert publish_process.present(call, target, SPECS, variables={}) == frozenset()
    assert asked == ["manifest", "signature"]
