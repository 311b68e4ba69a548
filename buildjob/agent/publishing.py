"""The story of publishing one package, and of uploading telemetry.

A folder is written by the agent itself, S3 by a process of its own (`publish_process`). Knows nothing of how packages are
built.
"""

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from buildjob import telemetry
from buildjob.agent import publish_process
from buildjob.agent.disks import NO_ROOM, FileSystemFull, Place, disk_full, find_full
from buildjob.agent.recorder import Recorder
from buildjob.agent.request import Target
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.buildcache.manifest import find, is_whole, parse_manifest
from buildjob.errors import AgentError, DiskFull, Interrupted, PublishError, RequestError
from buildjob.outcome import Outcome
from buildjob.process.prestarted import Prestarted
from buildjob.run_folder import TELEMETRY, RunResult
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import ConcreteSpec, Concretization
from buildjob.spack.install_log import says_no_space

_TELEMETRY_SECONDS = 60.0
"""For uploading telemetry, even if the time for the builds is over: those that took long matter most."""


def published_roots(session: Session, found: Concretization, trust: signing.TrustHome | None) -> frozenset[str]:
    """Return the hashes of the roots whose binary the target has, whole and, if it is signed, well signed."""
    target = session.request.target
    if target is None:
        return frozenset()
    roots = [spec for spec in found.specs if spec.hash in found.roots]
    if target.folder is None:
        return publish_process.published(session.call, target, roots, trust=trust, variables=session.request.variables)
    folder, signed = target.folder, target.signing_key_file is not None
    return frozenset(spec.hash for spec in roots if _is_published(folder, spec, trust, signed=signed))


def _is_published(folder: Path, spec: ConcreteSpec, trust: signing.TrustHome | None, *, signed: bool) -> bool:
    text = find(folder, spec.name, spec.version, spec.hash)
    if text is None:
        return False
    try:
        if signed and trust:
            text = trust.signed_text(text)
        elif signed:
            return False
        return is_whole(folder, parse_manifest(text, where=spec.title))
    except PublishError:
        return False


class Publishing:
    """Publishing one package. As a context manager it ends the programs that were prestarted and not needed."""

    def __init__(self, session: Session, spack: Spack, spec: ConcreteSpec, folder: Path) -> None:
        self._session, self._spack, self._spec = session, spack, spec
        self._unsigned = folder / "unsigned"
        self._target = session.request.target
        # without secrets: a prestarted process receives them when the last process of the build has ended
        variables = session.environments.build
        self._packing = session.prestarted(spack.pack_argv(), spack.environment(variables))
        self._pushing: Prestarted | None = None
        if self._target and self._target.folder is None:
            self._pushing = session.prestarted(publish_process.push_argv(self._target, self._unsigned), variables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.end()

    @property
    def _programs(self) -> list[Prestarted]:
        return [self._packing, *([self._pushing] if self._pushing else [])]

    def prestart(self) -> None:
        """Start what packs and what pushes, unless that has been done."""
        with contextlib.suppress(OSError):  # `publish` tries again, and its error is reported
            for program in self._programs:
                program.start()

    def standby(self) -> frozenset[int]:
        """Return the ids of the prestarted processes."""
        return frozenset().union(*(program.pids for program in self._programs))

    def publish(self, recorder: Recorder) -> None:
        """Publish the installed package as the request asks; a failure changes the outcome, never the measurements."""
        log, title = self._session.log, self._spec.title
        try:
            self._pack()
            publish = self._push()
        except Interrupted as stopped:
            recorder.published(None, Outcome.INTERRUPTED, signal_number=stopped.signal_number)
        except (AgentError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                error = disk_full(error)
            log.error(f"{title}: {error}")
            outcome = error.outcome if isinstance(error, (RequestError, DiskFull)) else Outcome.PUBLISH_FAILED
            full = error.full if isinstance(error, FileSystemFull) else None
            recorder.published(telemetry.Publish(state="failed"), outcome, full_disk=full)
        else:
            if publish.state == "published":
                log.note(f"{title}: published to {publish.url}")
            recorder.published(publish, recorder.outcome)

    def _pack(self) -> None:
        """Let Spack write the unsigned binary into the run folder."""
        line = self._spack.pack_input(self._spec, self._unsigned)
        code, printed = self._session.finish(self._packing, line, standby=self.standby() - self._packing.pids)
        if code != 0:
            # half a binary serves nobody, and may take the room that the documents need
            full = find_full([Place("run folder", self._unsigned)]) if says_no_space(printed) else None
            shutil.rmtree(self._unsigned, ignore_errors=True)
            if full:
                raise FileSystemFull(full)
            reason = printed.decode("utf-8", "replace").strip()[-500:]
            raise PublishError(f"Spack could not write the binary: {reason}")

    def _push(self) -> telemetry.Publish:
        """Sign and upload the binary, if there is a target. The key is read here: every process of the build has ended."""
        if self._target is None:
            return telemetry.Publish(state="unpublished", url=self._unsigned.as_uri())
        if self._target.folder is not None:
            publish = _push_to_folder(self._unsigned, self._target, self._target.folder)
        else:
            assert self._pushing
            begun = time.monotonic()
            line = publish_process.push_input(self._target, self._session.request.variables)
            code, printed = self._session.finish(self._pushing, line)
            publish = publish_process.pushed(code, printed, begun=begun)
        shutil.rmtree(self._unsigned)
        return publish


def send_telemetry(session: Session, results: Sequence[RunResult]) -> None:
    """Upload the telemetry of every package that was run, if the request asks for it. Logs a warning on failure."""
    url = session.request.telemetry_mirror
    ran = [result.folder / TELEMETRY for result in results if result.telemetry.totals.wall_seconds > 0]
    ran = [document for document in ran if document.exists()]  # a full disk takes none
    if not url or not ran or session.stop.signal_number:
        return
    call: publish_process.Call = lambda argv, given: session.call(argv, given, within_seconds=_TELEMETRY_SECONDS)  # noqa: E731  typed
    try:
        publish_process.send_telemetry(call, url, ran, variables=session.request.variables)
    except (AgentError, OSError) as error:
        session.log.warning(f"the telemetry was not uploaded to {url}: {error}")


def _push_to_folder(unsigned: Path, target: Target, folder: Path) -> telemetry.Publish:
    from buildjob.buildcache.push import publish  # noqa: PLC0415
    from buildjob.buildcache.storage.folder import FolderStore  # noqa: PLC0415  after the build: the agent stays small while it runs

    store = FolderStore(folder)
    if target.signing_key_file is None:
        return publish(unsigned, store, sign=lambda text, _where: text)
    with signing.signer(target.signing_key_file, target.passphrase_file) as signer:
        return publish(unsigned, store, sign=lambda text, where: signer.clearsign(text, where=where))
