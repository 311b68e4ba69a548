"""The gateway's settings: every default is data, each source overrides the one before, all faults are in one message."""

import tomllib
from pathlib import Path

import pytest

import delegate.settings
from delegate.errors import BadRequest
from delegate.request_queue import Limits
from delegate.settings import Settings, is_loopback, read_settings

DEFAULTS = tomllib.loads(Path(delegate.settings.__file__).with_name("defaults.toml").read_text())


def test_the_defaults_are_whole_and_have_nothing_else() -> None:
    assert set(DEFAULTS) == set(Settings.__annotations__)
    assert read_settings(None, {}, {}).limits == Limits()


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("port = 1\nkeep = 1\nattempts = 1\n")
    variables = {"SPACK_FARM_DELEGATE_KEEP": "2", "SPACK_FARM_DELEGATE_ATTEMPTS": "2", "SPACK_FARM_OTHER": "x"}
    settings = read_settings(str(config), variables, {"attempts": 3})
    assert (settings.port, settings.keep, settings.attempts) == (1, 2, 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "unknown key prot (did you mean port?)"),
        ("portt = 1\ndeadline = 3", "port?); unknown key deadline (did you mean deadline_seconds?)"),
        ('port = "x"', "port: expected `int`"),
        ("port = 70000", "ports end at 65535"),
        ("port = -1", "port is -1"),
        ("body_bytes = 0", "body_bytes is 0"),
        ("lease_seconds = inf", "lease_seconds is inf"),
        ("lease_seconds = nan", "lease_seconds is nan"),
        ("lease_seconds = 5", "hold_seconds must be less"),
        ('host = "0.0.0.0"', "give token_file"),
        ('host = "::"', "give token_file"),
        ('host = ""', "give token_file"),
        ('socket = ""', "socket is empty"),
        (f'socket = "/{"x" * 107}"', "socket has 108 bytes"),
        ('socket_mode = "rw"', "octal digits"),
        ('headers = ["Accept"]', "headers names 'Accept'"),
        ('headers = ["authorization"]', "identify no client"),
        ('headers = ["two words"]', "headers names 'two words'"),
        ("port =", "is not TOML"),
    ],
)
def test_a_bad_setting_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    with pytest.raises(BadRequest) as caught:
        read_settings(str(config), {}, {})
    assert complaint in str(caught.value)


def test_all_faults_are_in_one_message(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('port = 70000\nbody_bytes = 0\nsocket_mode = "x"\n')
    with pytest.raises(BadRequest, match=r"body_bytes.*port.*socket_mode"):
        read_settings(str(config), {}, {})


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("PROT", "1", r"names no setting of the gateway \(did you mean SPACK_FARM_DELEGATE_PORT\?\)"),
        ("PORT", "x", "should be a number"),
        ("PORT", "", "should be a number"),
    ],
)
def test_a_bad_variable_is_named(name: str, text: str, complaint: str) -> None:
    with pytest.raises(BadRequest, match=f"SPACK_FARM_DELEGATE_{name} {complaint}"):
        read_settings(None, {f"SPACK_FARM_DELEGATE_{name}": text}, {})


def test_variables_take_texts_and_lists() -> None:
    variables = {"SPACK_FARM_DELEGATE_HEADERS": "accept content-type", "SPACK_FARM_DELEGATE_SPOOL": "/x"}
    settings = read_settings(None, variables, {})
    assert (settings.headers, settings.spool) == (("accept", "content-type"), "/x")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"missing\.toml can't be read"):
        read_settings(str(tmp_path / "missing.toml"), {}, {})


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_loopback_is_known(host: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is is_one
