"""What `spack-farm publish` takes for options, and what it rejects before it does anything."""

import pytest

from buildjob.cli.publish_options import Arguments, add_environment, parser
from buildjob.errors import RequestError


def given(*words: str, **variables: str) -> Arguments:
    arguments = parser().parse_args(words, namespace=Arguments())
    add_environment(arguments, variables)
    return arguments


def test_a_variable_gives_an_option_and_an_option_wins() -> None:
    variables = {"SPACK_FARM_PUBLISH_REGION": "eu", "SPACK_FARM_PUBLISH_CONNECTIONS": "4", "SPACK_FARM_BUILD_WHATEVER": ""}
    arguments = given("ls", "s3://bucket", "--region", "us", **variables)
    assert (arguments.region, arguments.connections) == ("us", "4")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("ls", ""), "MIRROR"),
        (("push", "", "m"), "FOLDER"),
        (("push", "unsigned", " ", "--unsigned"), "MIRROR"),
        (("push", "unsigned", "m", "--signing-key-file", ""), "--signing-key-file"),
        (("push", "unsigned", "m", "--signing-key-command", ""), "--signing-key-command"),
        (("notarize", "", "m"), "SOURCE"),
        (("notarize", "s", "m", "--known-key", ""), "--known-key"),
        (("verify", "m", "--trust", ""), "--trust"),
        (("verify", "m", "--only", "\n"), "--only"),
        (("prune", "m", "--older-than", ""), "--older-than"),
        (("prune", "m", "--older-than", "1h", "--keep", ""), "--keep"),
        (("keys", "m", "--add", ""), "--add"),
        (("telemetry", "t.json", "", "m"), "PATH"),
        (("ls", "m", "--endpoint-url", ""), "--endpoint-url"),
        (("ls", "m", "--scratch", ""), "--scratch"),
        (("ls", "m", "--connections", ""), "--connections"),
    ],
)
def test_an_empty_value_is_rejected(words: tuple[str, ...], name: str) -> None:
    with pytest.raises(RequestError, match=f"^{name} is empty"):
        given(*words)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SPACK_FARM_PUBLISH_REGIONS", "eu", "did you mean SPACK_FARM_PUBLISH_REGION?"),
        ("SPACK_FARM_PUBLISH_ENDPOINT", "http://h", "SPACK_FARM_PUBLISH_ENDPOINT_URL"),
        ("SPACK_FARM_PUBLISH_PATHSTYLE", "true", "SPACK_FARM_PUBLISH_PATH_STYLE"),
        ("SPACK_FARM_PUBLISH_SIGNING_KEY", "k", "SPACK_FARM_PUBLISH_SIGNING_KEY_"),
        ("SPACK_FARM_PUBLISH_PROFILE", "", "is empty"),
    ],
)
def test_a_variable_that_gives_no_option_is_rejected(name: str, value: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"{name} is .*{said.removeprefix('is ')}"):
        given("ls", "m", **{name: value})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("push", "u", "m", "--unsigned", "--signing-passphrase-file", "p"),
            "--signing-passphrase-file has no effect without",
        ),
        (("notarize", "s", "m", "--signing-passphrase-file", "p"), "--signing-key-file or --signing-key-command"),
        (("push", "u", "m", "--unsigned", "--no-index", "--single-writer"), "--single-writer has no effect with --no-index"),
        (("push", "u", "m", "--unsigned", "--private", "--spack", "s"), "--spack has no effect with --private"),
        (("push", "u", "m", "--unsigned", "--private", "-C", "s"), "--config-scope has no effect with --private"),
        (("ls", "m", "--endpoint-url", "http://x"), "--endpoint-url has no effect on m, which is not in S3"),
        (("ls", "file:///m", "--region", "us"), "--region has no effect"),
        (("verify", "m", "--any-signer", "--profile", "p"), "--profile has no effect"),
        (("index", "m", "--ca-file", "f"), "--ca-file has no effect"),
        (("keys", "m", "--path-style"), "--path-style has no effect"),
    ],
)
def test_an_option_without_effect_is_rejected(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(RequestError) as rejected:
        given(*words)
    assert complaint in str(rejected.value)


@pytest.mark.parametrize(
    "words",
    [
        ("notarize", "s3://builds", "m", "--endpoint-url", "http://x"),
        ("push", "u", "s3://bucket/m", "--path-style"),
        ("push", "u", "m", "--signing-key-command", "cat k", "--signing-passphrase-file", "p"),
        ("push", "u", "m", "--dry-run", "--connections", "2"),
        ("push", "u", "m", "--unsigned", "--no-index"),
        ("push", "u", "m", "--unsigned", "--single-writer"),
        ("push", "u", "m", "--unsigned", "--private"),
        ("verify", "m", "--any-signer", "--only", "k"),
        ("verify", "m", "--any-signer", "--record"),
    ],
)
def test_an_option_with_effect_is_taken(words: tuple[str, ...]) -> None:
    given(*words, SPACK_FARM_PUBLISH_REGION="eu")
