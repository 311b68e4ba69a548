"""Reads the operator's settings for `executor check`, and looks at the files and folders that they name."""

import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from executor.agent_files import architecture_of
from executor.checks.finding import Finding, fault, note, ok
from executor.errors import DriverError, SettingsError
from executor.settings import Settings, ignored_keys, load_settings
from executor.size_table import read_table

_LARGEST_BYTES = 1 << 20


def read_settings(path: Path | None) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, None if they cannot be used, and what is found of them."""
    what = f"settings {path}" if path else "settings"
    if path is None:
        return load_settings(None), [
            note(what, "no --config is given: these are the defaults", "name the file with --config")
        ]
    try:
        _require_file(path)
        settings = load_settings(path)
        ignored = [note(what, f"{text}") for text in ignored_keys(path)]
    except DriverError as error:
        return None, [fault("settings", str(error), "each key: docs/reference/settings.md")]
    return settings, [ok(what, "every key is known and fits"), *ignored, *_named(settings)]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the Runner's own file. Raises SettingsError if it cannot be read or is not TOML."""
    _require_file(path)
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def mode_finding(path: Path) -> list[Finding]:
    """Return a note if other users can read a file that holds a token."""
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [note("config.toml", f"{path} holds the runner's token, and other users can read it", f"chmod 600 {path}")]
    return []


def _require_file(path: Path) -> None:
    """Raise SettingsError for what is not a file, or too large for one of settings: a device is read without an end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"{path}: not a file")
    if status.st_size > _LARGEST_BYTES:
        raise SettingsError(f"{path}: larger than {_LARGEST_BYTES >> 20} MiB")


def _named(settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with what the settings name on this machine."""
    folder = settings.telemetry.folder
    if folder and not os.access(folder, os.W_OK | os.X_OK):
        state = "this user cannot write to it" if Path(folder).is_dir() else "there is no such folder"
        yield fault("settings", f"telemetry.folder {folder}: {state}", f"mkdir -p {folder}, writable by the Runner's user")
    if settings.metrics.file:
        path = Path(settings.metrics.file)
        if path.suffix != ".prom":
            yield fault(
                "settings", f"metrics.file {path}: the collector reads only files whose names end with .prom", "rename it"
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            text = f"metrics.file {path}: this user cannot write to {path.parent}"
            yield fault("settings", text, f"mkdir -p {path.parent}, writable by the Runner's user")
    if settings.sizes_file:
        try:
            table = read_table(Path(settings.sizes_file))
            yield ok("sizes_file", f"{settings.sizes_file} has sizes of {len(table.sizes)} kinds of build")
        except DriverError as error:
            yield fault(
                "sizes_file", str(error), "write it with `spack-farm sizing fit`, or set sizes_file to an empty text"
            )
    try:
        architecture_of(settings.kubernetes)
    except DriverError as error:
        yield fault("settings", str(error), "correct kubernetes.node_selector")
