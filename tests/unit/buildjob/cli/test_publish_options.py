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
    arguments = given("ls", "m", "--region", "us", **variables)
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
        ("SPACK_FARM_PUBLISH_REGIONS", "eu", "the nearest that is known is SPACK_FARM_PUBLISH_REGION"),
        ("SPACK_FARM_PUBLISH_ENDPOINT", "http://h", "SPACK_FARM_PUBLISH_ENDPOINT_URL"),
        ("SPACK_FARM_PUBLISH_PATHSTYLE", "true", "SPACK_FARM_PUBLISH_PATH_STYLE"),
        ("SPACK_FARM_PUBLISH_SIGNING_KEY", "k", "SPACK_FARM_PUBLISH_SIGNING_KEY_"),
        ("SPACK_FARM_PUBLISH_PROFILE", "", "is empty"),
    ],
)
def test_a_variable_that_gives_no_option_is_rejected(name: str, value: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"{name} is .*{said.removeprefix('is ')}"):
        given("ls", "m", **{name: value})
