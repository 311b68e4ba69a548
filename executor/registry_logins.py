"""Logins to image registries, by GitLab's documented precedence: the variable, the manager's file, the job's own token.

Pure. Static logins only: a job must not choose a program that runs on the manager. Source: gitlab-runner
helpers/docker/auth/auth.go; GitLab docs, "Access an image from a private container registry".
"""

import base64
import binascii
import json
import re
from typing import Any

import msgspec

from executor.job import Credential

VARIABLE = "DOCKER_AUTH_CONFIG"
MANAGERS_FILE = "~/.docker/config.json"
_HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
"""The only key under which a kubelet looks for images that name no registry."""
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_HELPERS = ("credsStore", "credHelpers")


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """One login for each registry, and what the job log says about the others."""

    found: list[Credential]
    warnings: list[str]


def collect_logins(variable: str, managers: str, credentials: list[Credential]) -> Logins:
    """Return the logins of all sources; of those for the same registry, or path in it, the first counts.

    `variable` and `managers` have the form of Docker's config.json, or are empty. A fault in one costs a warning, which
    holds no value of it.
    """
    warnings: list[str] = []
    found: dict[str, Credential] = {}
    for source, text in ((VARIABLE, variable), (MANAGERS_FILE, managers)):
        for login in _logins_of(source, text, warnings):
            found.setdefault(_place(login.url), login)
    for one in credentials:
        if one.type == "registry" and one.url:
            found.setdefault(_place(one.url), one)
    if _HUB in found:
        found[_HUB] = msgspec.structs.replace(found[_HUB], url=_HUB_KEY)
    return Logins(found=list(found.values()), warnings=warnings)


def _logins_of(source: str, text: str, warnings: list[str]) -> list[Credential]:
    """Return the static logins of one source."""
    if not text.strip():
        return []
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    auths = document.get("auths", {}) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(auths, dict):
        warnings.append(f'{source} is not used: it is not JSON of the form {{"auths": {{"REGISTRY": {{"auth": "…"}}}}}}')
        return []
    if any(document.get(key) for key in _HELPERS):
        warnings.append(f"{source}: credsStore and credHelpers are not used, only logins in `auths`")
    logins = {server: _login(server, entry) for server, entry in auths.items()}
    faulty = [server for server, login in logins.items() if login is None]
    if faulty:
        warnings.append(f"{source}: no user and password for {', '.join(faulty)[:500]}")
    return [login for login in logins.values() if login is not None]


def _login(server: str, entry: Any) -> Credential | None:
    """Return the login of an entry; None if it has no user and password, as one that a credential store keeps."""
    if not isinstance(entry, dict) or not server:
        return None
    user, password = entry.get("username"), entry.get("password")
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    if not isinstance(user, str) or not isinstance(password, str) or not user or not password.rstrip("\0"):
        return None
    return Credential(type="registry", url=server, username=user, password=password.rstrip("\0"))


def _place(server: str) -> str:
    """Return the registry, or the path in it, that a login is for, in one spelling."""
    if _SCHEME.match(server):  # an old form, which may end with /v1/
        host = _SCHEME.sub("", server).partition("/")[0].lower()
        return _HUB if host == f"index.{_HUB}" else host
    host, slash, path = server.rstrip("/").partition("/")
    return f"{host.lower()}{slash}{path.partition(':')[0]}"
