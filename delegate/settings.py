"""The gateway's settings: defaults.toml < a TOML file < variables SPACK_FARM_DELEGATE_KEY < options.

`defaults.toml` describes each of them. All faults are in one message. Reads no environment itself: `__main__` gives it.
"""

import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from delegate.addresses import is_header_name
from delegate.errors import BadRequest
from delegate.request_queue import Limits
from spelling.keys import unknown_keys
from spelling.variables import unknown_variables

PREFIX = "SPACK_FARM_DELEGATE_"
_LONGEST_SOCKET = 107  # sockaddr_un.sun_path, with its final NUL
_LAST_PORT = 65535
_OF_CLIENTS = frozenset({"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"})
_MAY_BE_ZERO = frozenset({"port", "unready_seconds", "drain_seconds", "keep", "keep_seconds", "quarantine_seconds"})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `defaults.toml` describes, key by key."""

    host: str
    port: int
    socket: str
    socket_mode: str
    token_file: str
    spool: str
    spool_bytes: int
    body_bytes: int
    answer_bytes: int
    body_seconds: float
    deadline_seconds: float
    headers: tuple[str, ...]
    waiting_for_each_worker: int
    fingerprints: int
    connections: int
    retry_seconds: int
    lease_seconds: float
    contact_seconds: float
    hold_seconds: float
    worker_seconds: float
    attempts: int
    quarantine_seconds: float
    keep_seconds: float
    keep: int
    log_bytes: int
    unready_seconds: float
    drain_seconds: float

    @property
    def limits(self) -> Limits:
        """The bounds of the queue."""
        return Limits(
            waiting_for_each_worker=self.waiting_for_each_worker,
            fingerprints=self.fingerprints,
            lease_seconds=self.lease_seconds,
            contact_seconds=self.contact_seconds,
            worker_seconds=self.worker_seconds,
            attempts=self.attempts,
            quarantine_seconds=self.quarantine_seconds,
        )


def read_settings(config: str | None, variables: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """Return the settings. `options` are those that were given, by key. Raises BadRequest."""
    values = tomllib.loads(Path(__file__).with_name("defaults.toml").read_text("utf-8"))
    if config is not None:
        values |= _checked(_table(config), config)
    values |= _of_variables(variables)
    values |= options
    settings = msgspec.convert(values, Settings)
    if faults := list(_faults(settings)):
        raise BadRequest("; ".join(faults))
    return settings


def is_loopback(host: str) -> bool:
    """Return whether only this machine, or this pod, can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _table(config: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(config).read_text("utf-8"))
    except OSError as error:
        raise BadRequest(f"the settings file {config} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the settings file {config} is not TOML: {error}") from error


def _checked(values: dict[str, Any], place: str) -> dict[str, Any]:
    """Return values that are all known and of the right type."""
    faults = unknown_keys(values, Settings)
    for key in [key for key in values if key in Settings.__annotations__]:
        try:
            msgspec.convert(values[key], Settings.__annotations__[key])
        except msgspec.ValidationError as error:
            faults.append(f"{key}: {str(error)[0].lower()}{str(error)[1:]}")
    if faults:
        raise BadRequest(f"{place}: {'; '.join(faults)}; delegate/defaults.toml describes all settings")
    return values


def _of_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    known = {f"{PREFIX}{key.upper()}": key for key in Settings.__annotations__}
    for name, offer in unknown_variables(variables, known, PREFIX):
        raise BadRequest(f"the variable {name} names no setting of the gateway{offer}; delegate/defaults.toml has them all")
    found: dict[str, Any] = {}
    for name in sorted(set(known) & set(variables)):
        key, text = known[name], variables[name]
        kind = Settings.__annotations__[key]
        if kind is str or key == "headers":
            found[key] = text if kind is str else tuple(text.split())
            continue
        try:
            found[key] = kind(text)
        except ValueError as error:
            raise BadRequest(f"the variable {name} should be a number, but is {text!r}") from error
    return found


def _faults(settings: Settings) -> Iterator[str]:
    yield from _faults_of_numbers(settings)
    length = len(settings.socket.encode())
    if not settings.socket:
        yield "socket is empty: name the Unix socket that workers use"
    elif length > _LONGEST_SOCKET:
        yield f"socket has {length} bytes, {_LONGEST_SOCKET} are possible; choose a shorter path"
    if len(settings.socket_mode) not in {3, 4} or set(settings.socket_mode) - set("01234567"):
        yield f"socket_mode is {settings.socket_mode!r}: give octal digits such as 0660"
    if not settings.token_file and not is_loopback(settings.host):
        yield f"host is {settings.host!r}, which others can reach: give token_file, or listen on 127.0.0.1"
    for header in settings.headers:
        if header != header.lower() or header in _OF_CLIENTS or not is_header_name(header):
            yield f"headers names {header!r}: give names in lower case that identify no client and no connection"


def _faults_of_numbers(settings: Settings) -> Iterator[str]:
    for name in Settings.__annotations__:
        value = getattr(settings, name)
        if not isinstance(value, int | float):
            continue
        if not 0 <= value < 1e15:
            yield f"{name} is {value}: give a number that is not negative"
        elif value == 0 and name not in _MAY_BE_ZERO:
            yield f"{name} is 0: give more"
    if settings.port > _LAST_PORT:
        yield f"port is {settings.port}: ports end at {_LAST_PORT}"
    if settings.hold_seconds >= settings.lease_seconds:
        yield "hold_seconds must be less than lease_seconds: a heartbeat extends the lease when it begins"
