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

import msgspec

from buildjob import telemetry
from buildjob.agent import publish_process
from buildjob.agent.disks import NO_ROOM, FileSystemFull, Place, disk_full, find_full
from buildjob.agent.publisher import Publisher, is_withheld
from buildjob.agent.recorder import Recorder
from buildjob.agent.request import Target
from buildjob.agent.session import Session
from buildjob.agent.supply import Needs, shortened
from buildjob.buildcache import layout, signing
from buildjob.buildcache.manifest import parse_manifest
from buildjob.errors import AgentError, DiskFull, Interrupted, PublishError, RequestError, TimedOut
from buildjob.outcome import Outcome
from buildjob.process.prestarted import Prestarted
from buildjob.process.successor import Successor
from buildjob.run_folder import TELEMETRY, RunResult
from buildjob.spack.concrete import ConcreteSpec, Origin, Packed
from buildjob.spack.install_log import says_no_space

_IF_PRIVATE = "--private if the build cache is private"
NOT_REDISTRIBUTABLE = f"its recipe says that its binary must not be redistributed ({_IF_PRIVATE})"
_VOUCH = "let Spack build it from source, or configure a signed mirror that has it and trust its key"
_TELEMETRY_SECONDS = 60.0
"""For uploading telemetry, even if the time for the builds is over: those that took long matter most."""


class Publishing:
    """Publishing one package. As a context manager it ends the programs that were prestarted and not needed."""

    def __init__(self, publisher: Publisher, spec: ConcreteSpec, folder: Path) -> None:
        session, spack = publisher.session, publisher.spack
        self._publisher, self._session, self._spack, self._spec = publisher, session, spack, spec
        self._unsigned = folder / "unsigned"
        self._target = session.request.target
        # without secrets: a prestarted process receives them when the last process of the build has ended
        variables = session.environments.build
        self._packing = Successor(session.prestarted(spack.pack_argv(), spack.environment(variables)))
        self._pushing: Prestarted | None = None
        if self._target and self._target.folder is None:
            argv = publish_process.push_argv(
                self._target, self._unsigned, private=session.request.private, variables=session.request.variables
            )
            self._pushing = session.prestarted(argv, variables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.end()

    @property
    def _programs(self) -> list[Successor | Prestarted]:
        return [self._packing, *([self._pushing] if self._pushing else [])]

    def pipes(self) -> tuple[int, int] | None:
        """Return what the installing program gets to leave a successor that packs the package; None without packing."""
        return self._packing.offer() if self._session.request.packs else None

    def prestart(self) -> None:
        """Start what pushes, unless that has been done."""
        with contextlib.suppress(OSError):  # `publish` tries again, and its error is reported
            if self._pushing:
                self._pushing.start()

    def started(self) -> None:
        """Forget what only the program that installs the package is to have of the pipes."""
        self._packing.offered()

    def standby(self) -> frozenset[int]:
        """Return the ids of the prestarted processes."""
        return frozenset().union(*(program.pids for program in self._programs))

    def publish(self, recorder: Recorder) -> None:
        """Publish the installed package as the request asks; a failure changes the outcome, never the measurements.

        What it needs at run time and the target lacks is published with it.
        """
        log, title = self._session.log, self._spec.title
        try:
            publish = self._publish()
        except Interrupted as stopped:
            recorder.published(None, Outcome.INTERRUPTED, signal_number=stopped.signal_number)
        except (AgentError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                error = disk_full(error)
            log.error(f"{title}: {error}")
            outcome = Outcome.PUBLISH_FAILED
            if isinstance(error, (RequestError, DiskFull, TimedOut)):
                outcome = error.outcome
            full = error.full if isinstance(error, FileSystemFull) else None
            recorder.published(telemetry.Publish(state="failed"), outcome, full_disk=full)
            self._publisher.supply.failed(self._spec.hash)
        else:
            if publish.state == "published":
                log.note(f"{title}: published to {publish.url}")
            recorder.published(publish, recorder.outcome)

    def _publish(self) -> telemetry.Publish:
        """Pack, download and push the package and what it needs. Raises AgentError."""
        log, spec, supply, is_local = self._session.log, self._spec, self._publisher.supply, self._target is None
        needs = Needs() if is_local else supply.needs(spec)
        if not is_local and is_withheld(self._session, spec):
            log.note(f"{spec.title}: not published: it is built from {' and '.join(spec.develop_folders)} ({_IF_PRIVATE})")
            return telemetry.Publish(state="developed")
        if not is_local and supply.must_stay(spec):
            return self._not_redistributable()
        origin = Origin(kind="built") if is_local else supply.origin(spec)
        if origin.kind == "none" and self._target and self._target.signing_key_file:
            raise PublishError(f"it is not published, since nothing vouches for its binary: {origin.reason}; {_VOUCH}")
        if fault := self._publisher.fault(spec):
            raise PublishError(fault)
        if origin.kind == "mirror":  # what a key has signed is published, not what lies in the tree
            needs = msgspec.structs.replace(needs, copy=[*needs.copy, spec])
        else:
            needs = msgspec.structs.replace(needs, pack=[*needs.pack, spec])
        packed = self._pack(needs, private=is_local or self._session.request.private)
        forbidden = set(packed.not_redistributable) if not self._session.request.private else set()
        copied = self._copy([each for each in needs.copy if each.hash not in forbidden])
        forbidden |= {each.hash for each in needs.copy} - {each.hash for each in copied}
        supply.learn({}, not_redistributable=forbidden)
        if not is_local and spec.hash in forbidden:
            return self._not_redistributable()
        left_out = [] if is_local else [each.title for each in supply.needs(spec).left_out]
        publish = self._push()
        if is_local:
            return publish
        self._log_needs(needs, left_out)
        supply.published([*packed.packed, *(each.hash for each in copied)])
        return publish

    def _not_redistributable(self) -> telemetry.Publish:
        self._session.log.note(f"{self._spec.title}: not published: {NOT_REDISTRIBUTABLE}")
        shutil.rmtree(self._unsigned, ignore_errors=True)
        return telemetry.Publish(state="not_redistributable")

    def _log_needs(self, needs: Needs, left_out: Sequence[str]) -> None:
        log, title = self._session.log, self._spec.title
        brought = [each.title for each in needs.brought if each.title not in (title, *left_out)]
        if brought:
            log.note(f"{title}: published with it, since it needs them at run time: {shortened(brought)}")
        if left_out:
            log.note(f"{title}: needs {shortened(left_out)} at run time, not published: {NOT_REDISTRIBUTABLE}")
        if needs.lacking:
            log.warning(f"{title}: published without {shortened(needs.lacking)}, which it needs at run time")

    def _pack(self, needs: Needs, *, private: bool) -> Packed:
        """Let Spack write unsigned binaries into the run folder."""
        line = self._spack.pack_input(
            self._unsigned, pack=needs.pack, copied=needs.copy, left_out=needs.left_out, private=private
        )
        try:
            code, printed = self._session.finish(self._packing, line, standby=self.standby() - self._packing.pids)
        except (Interrupted, TimedOut):
            shutil.rmtree(self._unsigned, ignore_errors=True)
            raise
        if code != 0:
            # half a binary is of no use, and may take the room that the documents need
            full = find_full([Place("run folder", self._unsigned)]) if says_no_space(printed) else None
            shutil.rmtree(self._unsigned, ignore_errors=True)
            if full:
                raise FileSystemFull(full)
        return self._spack.packed(code, printed)

    def _copy(self, specs: Sequence[ConcreteSpec]) -> list[ConcreteSpec]:
        """Download binaries into the run folder, with the text of which gpg says that a trusted key has signed it.

        Returns those that may be redistributed; a mirror's manifest may say that its binary must not be.
        """
        if not specs:
            return []
        assert self._publisher.trust  # else nothing is on a mirror with a trusted signature
        environment = self._spack.environment(self._session.environments.fetch, gpg_home=self._publisher.trust.home)
        self._spack.download(specs, self._unsigned, environment=environment)
        kept = []
        for spec in specs:
            path = self._unsigned / layout.manifest_key(spec.name, spec.version, spec.hash)
            text = self._publisher.trust.signed_text(path.read_bytes())
            path.write_bytes(text)
            forbidden = parse_manifest(text, where=spec.title).not_redistributable or ()
            if spec.hash in forbidden and not self._session.request.private:
                path.unlink()
            else:
                kept.append(spec)
        return kept

    def _push(self) -> telemetry.Publish:
        """Sign and upload the binary, if there is a target. The key is read here: every process of the build has ended."""
        if self._target is None:
            return telemetry.Publish(state="unpublished", url=self._unsigned.as_uri())
        if self._target.folder is not None:
            self._session.require_time(f"{self._spec.title} was published")  # what follows is done in this process
            publish = _push_to_folder(self._unsigned, self._target, self._target.folder, self._spec.hash)
        else:
            assert self._pushing
            begun = time.monotonic()
            line = publish_process.push_input(self._target, self._session.request.variables)
            code, printed = self._session.finish(self._pushing, line)
            publish = publish_process.pushed(code, printed, dag_hash=self._spec.hash, begun=begun)
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


def _push_to_folder(unsigned: Path, target: Target, folder: Path, dag_hash: str) -> telemetry.Publish:
    from buildjob.buildcache.push import publish  # noqa: PLC0415
    from buildjob.buildcache.storage.folder import FolderStore  # noqa: PLC0415  after the build: the agent stays small while it runs

    store = FolderStore(folder)
    if target.signing_key_file is None:
        return publish(unsigned, store, sign=lambda text, _where: text, dag_hash=dag_hash)
    with signing.signer(target.signing_key_file, target.passphrase_file) as signer:
        return publish(unsigned, store, sign=lambda text, where: signer.clearsign(text, where=where), dag_hash=dag_hash)
