"""Where binaries go, and what was measured: whether the mirror has one already, and how what Spack packed gets there.

A folder is written by the agent itself, S3 by a process of its own (`remote`). Knows nothing of builds and their outcomes.
"""

import shutil
import time
from pathlib import Path

from buildjob import telemetry
from buildjob.agent import publish_process
from buildjob.agent.request import Target
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.buildcache.manifest import find, is_whole, parse_manifest
from buildjob.errors import AgentError, PublishError
from buildjob.process.prestarted import Ahead
from buildjob.run_folder import TELEMETRY
from buildjob.spack.concrete import Node, Plan

_TELEMETRY_SECONDS = 60.0
"""Measurements may be sent for so long, even if the time for the builds is over: those that took long matter most."""


def on_mirror(session: Session, plan: Plan, trust: signing.TrustHome | None) -> frozenset[str]:
    """Return the hashes of the roots whose binary is on the target mirror, whole and, if it is signed, well signed."""
    target = session.request.target
    if target is None:
        return frozenset()
    roots = [node for node in plan.nodes if node.hash in plan.roots]
    if target.folder is None:
        return publish_process.on_mirror(session.call, target, roots, trust=trust, variables=session.request.variables)
    folder = target.folder
    signed = target.signing_key_file is not None
    return frozenset(node.hash for node in roots if _is_there(folder, node, trust, signed=signed))


def _is_there(folder: Path, node: Node, trust: signing.TrustHome | None, *, signed: bool) -> bool:
    text = find(folder, node.name, node.version, node.hash)
    if text is None:
        return False
    if signed and not (trust and trust.has_good_signature(text)):
        return False
    try:
        manifest = parse_manifest(text, where=node.title)
    except PublishError:
        return False
    return is_whole(folder, manifest)


def sender(session: Session, unsigned: Path) -> Ahead | None:
    """Return the process that will send to S3, which may be started while the build still ends: it has no secrets yet."""
    target = session.request.target
    if target is None or target.folder is not None:
        return None
    return session.ahead(publish_process.send_argv(target, unsigned), session.environments.build)


def send(session: Session, unsigned: Path, target: Target, sending: Ahead | None) -> telemetry.Publish:
    """Sign and send. The key is read here, when every process of the build has ended."""
    if target.folder is None:
        assert sending
        begun = time.monotonic()
        code, printed = session.finish(sending, publish_process.send_word(session.request.variables))
        published = publish_process.sent(code, printed, begun=begun)
    else:
        published = _send_to_folder(unsigned, target, target.folder)
    shutil.rmtree(unsigned)
    return published


def send_telemetry(session: Session) -> None:
    """Send what was measured of every package that was run, if the request asks for it. Never fails: a warning at most."""
    url = session.request.telemetry_mirror
    ran = [result.folder / TELEMETRY for result in session.results if result.telemetry.totals.wall_seconds > 0]
    if not url or not ran or session.stop.signal_number:
        return
    call: publish_process.Call = lambda argv, given: session.call(argv, given, within_seconds=_TELEMETRY_SECONDS)  # noqa: E731  typed
    try:
        publish_process.send_telemetry(call, url, ran, variables=session.request.variables)
    except (AgentError, OSError) as error:
        session.log.warning(f"what was measured was not sent to {url}: {error}")


def _send_to_folder(unsigned: Path, target: Target, folder: Path) -> telemetry.Publish:
    from buildjob.buildcache.push import publish  # noqa: PLC0415
    from buildjob.buildcache.storage.folder import FolderStore  # noqa: PLC0415  after the build: the agent stays small while it runs

    store = FolderStore(folder)
    if target.signing_key_file is None:
        return publish(unsigned, store, sign=lambda text, _where: text)
    with signing.throw_away_home() as home:
        signer = signing.Signer(home, target.signing_key_file, target.passphrase_file)
        return publish(unsigned, store, sign=lambda text, where: signer.clearsign(text, where=where))
