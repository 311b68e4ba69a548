"""What `spack-farm doctor` asks of servers and keys: each target for a few seconds, side by side.

To S3 a small object is written, and deleted again: only that shows what the credentials allow.
"""

import contextlib
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob import extra
from buildjob.agent import publish_process
from buildjob.buildcache import documents, layout, presence, signing
from buildjob.buildcache.gpg.key_source import find_source
from buildjob.buildcache.presence import Presence
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import ABSENT, Store
from buildjob.cli import publish_inputs, publish_options
from buildjob.errors import AgentError, Conflict, NotFound, Unsupported
from buildjob.log import Log

TARGET_SECONDS = 5.0
_ANSWER_SECONDS = 4.0
_SOON_SECONDS = 30 * 86400.0
_PROBE = f"{layout.OURS}doctor-"


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    is_good: bool
    text: str
    advice: str = ""
    """What to do; empty if nothing is to be done."""
    is_needed: bool = True
    """A build here needs it."""

    @property
    def mark(self) -> str:
        """How the line begins."""
        if self.is_good:
            return "ok   "
        return "FIX  " if self.is_needed else "note "


class Asking:
    """Targets that are asked from threads of their own, until the first look at the answers."""

    def __init__(self, targets: Mapping[str, Callable[[], list[Check]]], *, seconds: float = TARGET_SECONDS) -> None:
        self._targets = targets
        self._seconds = seconds
        self._begun = time.monotonic()
        self._answers: dict[str, list[Check]] = {}
        # daemons: a server that hangs keeps no process alive
        self._threads = [threading.Thread(target=self._ask, args=(name,), daemon=True) for name in targets]
        for thread in self._threads:
            thread.start()

    def answers(self) -> list[Check]:
        """Return what the targets have answered, in their order; a fault for each that is silent."""
        for thread in self._threads:
            thread.join(max(self._begun + self._seconds - time.monotonic(), 0.0))
        advice = "it may answer later: try again"
        return [
            check
            for name in self._targets
            for check in self._answers.get(name) or [Check(False, f"{name}: no answer within {self._seconds:.0f} s", advice)]
        ]

    def _ask(self, name: str) -> None:
        try:
            self._answers[name] = self._targets[name]()
        except AgentError as error:
            self._answers[name] = [Check(False, f"{name}: {error}")]
        except ImportError as error:
            self._answers[name] = [Check(False, f"{name}: not checked: {extra.advice(error) or error}")]
        except Exception as error:  # noqa: BLE001  a check that breaks must not hide what the others find
            self._answers[name] = [Check(False, f"{name}: it could not be checked: {error!r}", "report this line")]


def mirror_checks(url: str, variables: Mapping[str, str], *, writes: bool) -> list[Check]:
    """Return what stands at a build cache, asked as a build would, and with `writes` whether it can be written to."""
    arguments = publish_options.parser().parse_args(["ls", url], namespace=publish_options.Arguments())
    publish_options.add_environment(arguments, dict(variables))
    arguments.endpoint_url = arguments.endpoint_url or publish_process.endpoint_url(variables) or None
    policy = RetryPolicy(tries=1)
    store = publish_inputs.open_mirror(
        arguments, url, Log(sys.stderr), retries=policy, answer_seconds=_ANSWER_SECONDS
    )  # fmt: skip
    found = presence.of(store)
    if found is Presence.NOTHING:
        first = Check(True, f"mirror {store.url}: it can be read; not a build cache yet, the first build makes one")
    elif found is not Presence.BUILD_CACHE:
        return [Check(False, f"mirror {store.url}: {presence.fault_of(found)}")]
    elif fault := documents.layout_fault(store):
        return [Check(False, f"mirror {store.url}: {layout.LAYOUT} {fault}")]
    else:
        first = Check(True, f"mirror {store.url}: it can be read; a build cache of layout 3")
    return [first, _written(store)] if writes else [first]


def _written(store: Store) -> Check:
    """Write a small object, find it in a list, and delete it."""
    key = f"{_PROBE}{secrets.token_hex(8)}"
    what, advice = "write", "allow this user s3:PutObject, s3:GetObject, s3:ListBucket and s3:DeleteObject there"
    try:
        conditions = _write(store, key)
        what = "list"
        if key not in {each.key for each in store.list(key)}:
            return Check(False, f"mirror {store.url}: what was written is not listed", advice)
        what = "delete"
        store.delete(key)
    except AgentError as error:
        with contextlib.suppress(AgentError):
            store.delete(key)
        return Check(False, f"mirror {store.url}: this user can't {what} objects: {error}", advice)
    if conditions:
        return Check(True, f"mirror {store.url}: it can be written to, listed and deleted from; writes have conditions")
    text = f"mirror {store.url}: the server has no conditional writes (If-None-Match)"
    return Check(False, text, "let only one job at a time write the index (--single-writer)", is_needed=False)


def _write(store: Store, key: str) -> bool:
    """Write an object; return whether the storage keeps to the condition that there is none."""
    try:
        store.write(key, b"spack-farm doctor\n", only_if=ABSENT)
        store.write(key, b"spack-farm doctor\n", only_if=ABSENT)
    except (Conflict, NotFound):
        return True
    except Unsupported:
        store.write(key, b"spack-farm doctor\n")
    return False


def key_check(text: str, passphrase: str, *, now: float) -> Check:
    """Sign a test text, as a build does before it begins; say when the key expires."""
    try:
        key = find_source(text, "--signing-key-file")
        given = find_source(passphrase, "--signing-passphrase-file", holds="passphrase") if passphrase else None
        expires_at = signing.check(key, given)
    except AgentError as error:
        return Check(False, str(error))
    except ImportError as error:
        return Check(False, f"signing key: not checked: {extra.advice(error) or error}")
    if expires_at is None:
        return Check(True, f"{key.title} signs, and does not expire")
    day = time.strftime("%Y-%m-%d", time.gmtime(expires_at))
    if expires_at < now + _SOON_SECONDS:
        return Check(False, f"{key.title} signs, and expires on {day}", "extend it: gpg --quick-set-expire", is_needed=False)
    return Check(True, f"{key.title} signs, and expires on {day}")


def cdash_checks(url: str, project: str, token_file: str) -> list[Check]:
    """Return whether a CDash answers, and takes the token for a project."""
    from ctest_xml.cdash import Server, ask_project  # noqa: PLC0415  requests is loaded only for this

    token = ""
    if token_file:
        try:
            token = Path(token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return [Check(False, f"CDash: the token file {token_file} can't be read: {error}")]
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            return [Check(False, f"CDash: the token file {token_file} does not hold one token", "give a file with one line")]
    server = Server(url=url, project=project, token=token, connect_seconds=_ANSWER_SECONDS, read_seconds=_ANSWER_SECONDS)
    answer = ask_project(server)
    if answer.is_refused:
        return [Check(False, f"CDash {url}: it refuses the token", "make a new one on CDash's page of your profile")]
    if answer.fault:
        return [Check(False, f"CDash {url}: {answer.fault}", "correct --cdash, or try again later")]
    if answer.knows_project:
        return [Check(True, f"CDash {url}: it has the project {project}, and takes the token")]
    text = f"CDash {url}: it answers, and does not show the project {project} to this token"
    advice = "a token that may only submit may be right all the same; else correct --cdash-project"
    return [Check(False, text, advice, is_needed=False)]
