"""The story of `spack-farm build`: plan, fetch what a build cache has, then build, publish and report package by package.

Holds the order of the steps; each step is done elsewhere. A request that can't work is rejected before anything starts.
Whatever happens, the results so far are written down.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent import ci_facts, planning, reproduction
from buildjob.agent.disks import Place, cannot_write, full_disks_named, require_temporary_folder
from buildjob.agent.failures import Failures
from buildjob.agent.publisher import Publisher
from buildjob.agent.publishing import Publishing, send_telemetry
from buildjob.agent.recorder import Recorder, Subject
from buildjob.agent.reproduction import Reproduction
from buildjob.agent.request import BuildRequest, CommandBuild
from buildjob.agent.run import Process, Surroundings, run
from buildjob.agent.schedule import Schedule, schedule
from buildjob.agent.session import Session
from buildjob.buildcache import layout, signing
from buildjob.log import Log
from buildjob.outcome import Outcome, combined, exit_code
from buildjob.process import child, environments
from buildjob.report import terminal
from buildjob.report.explain import describe_failed
from buildjob.report.link import Link, failed_links
from buildjob.report.write import PAGES, find_cause, report
from buildjob.run_folder import FETCH_REPORT, REPRODUCE, SPEC, RunResult, find_folder, new_folder, require_room
from buildjob.spack.adapter import Spack, install_command
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.find import find
from buildjob.spack.layout import silence_scope, stage_folder

_NOTHING_TO_REPEAT = {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.INTERRUPTED}
"""Outcomes after which the job's log does not end with the commands that do the same again: nothing is to be debugged."""


def build(request: BuildRequest, log: Log) -> int:
    """Do what is requested; return the exit code. Raises AgentError for what ends it before a package is run."""
    child.become_subreaper()
    child.seclude()
    try:
        require_room(request.out)
    except OSError as error:
        raise cannot_write(error, request.out, option="--out") from error
    with child.StopRequest() as stop:
        session = Session.begin(request, log, stop)
        for fault in ci_facts.asked_faults(request.variables):
            log.warning(fault)
        environments.forget(session.environments.secret_names)
        results: list[RunResult] = []
        try:
            for result in _run_command(session, request.command) if request.command else _build_with_spack(session):
                results.append(result)  # noqa: PERF402  those before an error are reported, too
        finally:
            send_telemetry(session, results)
    if len(results) > 1:
        rows = [result.telemetry for result in results]
        log.plain(terminal.overview(rows, color=log.color, width=log.width))
    outcome = combined(
        roots=[result.outcome for result in results if result.is_root],
        dependencies=[result.outcome for result in results if not result.is_root],
    )
    return exit_code(outcome, signal_number=stop.signal_number)


def _run_command(session: Session, command: CommandBuild) -> Iterator[RunResult]:
    """Run and measure a build without Spack."""
    request = session.request
    changing = ci_facts.build_variables(session.environments.build, is_spack=False)
    subject = Subject(
        spec=telemetry.PackageSpec(name=command.name, version=command.version),
        command=f"{command.name} {command.version}",
        reproduce=telemetry.Reproduce(
            image_digest=ci_facts.image_digest(request.variables),
            variables=changing,
            commands=reproduction.command_build(
                command,
                folder=Path.cwd(),
                variables=changing,
                secret_values=session.environments.secret_values,
                commit=request.variables.get("CI_COMMIT_SHA", ""),
            ),
        ),
        versions=ci_facts.versions(),
        job=ci_facts.job_facts(request.variables),
        asked=ci_facts.asked_facts(request.variables),
    )
    folder = _new_folder(request, command.name, command.version)
    recorder = Recorder(folder, subject, secret_values=session.environments.secret_values)
    process = Process(
        argv=["/bin/sh", "-c", command.command],
        environment=session.environments.build,
        folder=Path.cwd(),
        writes_to=(Place("prefix", command.prefix),) if command.prefix else (),
        is_spack=False,
    )
    session.log.step(f"running {subject.title}: {command.command}")
    run(process, recorder, around=_surroundings(session))
    yield _report(session, recorder)


def _build_with_spack(session: Session) -> Iterator[RunResult]:
    """Plan, fetch, and build each package that needs it; yield how each went as soon as it is known."""
    request = session.request
    require_temporary_folder(request.variables)
    planning.check_signing_key(request, session.log, now=time.time())
    installation = find(request.spack, request.variables, request.paths)
    with tempfile.TemporaryDirectory(prefix="spack-farm-") as scratch, planning.trusted(request, installation) as trust:
        spack = Spack(installation, call=session.call, scopes=planning.scopes(request, Path(scratch)))
        if warning := spack.version_warning():
            session.log.warning(warning)
        session.log.step(f"planning with Spack of {installation.found}")
        with full_disks_named(request.variables):
            found, split = planning.concretize(session, spack, Path(scratch), trust)
        # from here on the credentials of the mirrors are known: no build gets them, and this process hides them
        session = msgspec.structs.replace(session, environments=split)
        environments.forget(split.secret_names)
        if found.environment:
            spack = spack.in_environment(found.environment)
        with full_disks_named(request.variables):
            found = planning.with_remote_binaries(session, spack, found, trust)
        publisher = Publisher(session, spack, found, trust=trust)
        published = publisher.published_roots()
        work = schedule(found.specs, found.roots, published=published)
        if unpublishable := publisher.plan(work):
            # known before an hour is spent on a binary that can't be installed
            possible = [root for root in found.roots if root not in unpublishable]
            work = schedule(found.specs, possible, published=published)
        again = planning.reproduction(session, installation, found, trust)
        planning.log_schedule(session.log, found, work)
        planning.check_sources(session.log, found, work)
        if silent := [fault for fault in found.mirror_faults if fault.is_silent]:
            spack = spack.with_scope(silence_scope(Path(scratch) / "silent", silent))
        try:
            for spec in found.specs:
                if spec.hash in unpublishable:
                    yield _unpublishable(session, spec, again, unpublishable[spec.hash])
            _fetch(session, spack, work.fetch, trust)
            for spec in work.nothing:
                yield _already_published(session, spec, again)
            for spec in work.publish_only:
                yield _publish_only(publisher, spec, again)
            yield from _build_all(publisher, work, again)
        finally:
            planning.refresh(session, spack, found, work)


def _build_all(publisher: Publisher, work: Schedule, again: Reproduction) -> Iterator[RunResult]:
    """Build what is to be built; before each, fetch what could not be fetched earlier."""
    session, failures = publisher.session, Failures()
    for spec in work.build:
        late = work.fetch_before.get(spec.hash, [])
        for each in late:
            if roots := failures.roots(each.binary_needs):
                session.log.error(f"{each.title}: not installed from the build cache, since {describe_failed(roots)}")
                failures.add_unfetched(each)
        _fetch(session, publisher.spack, [each for each in late if each.hash not in failures], publisher.trust)
        result = _build_one(publisher, spec, again, failures)
        # a package whose binary could not be published is installed all the same
        if result.outcome not in {Outcome.BUILT, Outcome.ALREADY_THERE} and result.telemetry.publish is None:
            failures.add(spec, result)
        yield result
        if session.stop.signal_number:
            break


def _fetch(session: Session, spack: Spack, specs: Sequence[ConcreteSpec], trust: signing.TrustHome | None) -> None:
    """Install from the build caches what they have. Raises FetchError if one of them can't be installed."""
    if not specs:
        return
    session.log.step(f"installing {len(specs)} package{'s' * (len(specs) != 1)} from the build cache")
    environment = spack.environment(session.environments.fetch, gpg_home=trust.home if trust else None)
    code, printed = session.call(spack.fetch_argv(specs), environment)
    if code != 0:
        with full_disks_named(session.request.variables):
            raise planning.fetch_failure(session, spack, specs, printed, trust)


def _new_folder(request: BuildRequest, name: str, version: str, dag_hash: str = "") -> Path:
    """Make and return a run folder. Raises AgentError, naming `--out`, if that can't be done."""
    try:
        return new_folder(request.out, name, version, dag_hash)
    except OSError as error:
        raise cannot_write(error, request.out, option="--out") from error


def _recorder(session: Session, spec: ConcreteSpec, again: Reproduction) -> Recorder:
    """Return the recorder of a package's run, in a new folder in which its concrete spec lies."""
    folder = _new_folder(session.request, spec.name, spec.version, spec.hash)
    (folder / SPEC).write_bytes(Path(spec.spec_file).read_bytes())
    recorder = Recorder(folder, _subject(session, spec, again), secret_values=session.environments.secret_values)
    try:
        recorder.note(again.save(spec, folder))
    except OSError as error:
        recorder.note([f"{REPRODUCE}/ could not be written: {error.strerror or error}"])
    return recorder


def _subject(session: Session, spec: ConcreteSpec, again: Reproduction) -> Subject:
    request = session.request
    dependencies = [msgspec.convert(msgspec.to_builtins(edge), telemetry.Dependency) for edge in spec.dependencies]
    return Subject(
        spec=telemetry.PackageSpec(
            name=spec.name,
            version=spec.version,
            hash=spec.hash,
            architecture=spec.architecture,
            compiler=spec.compiler,
            variants=spec.variants,
            dependencies=dependencies,
            build_jobs=again.jobs,
        ),
        command=install_command(spec),
        is_root=spec.hash in again.found.roots,
        reproduce=telemetry.Reproduce(
            spack_commit=again.found.spack_commit,
            packages_commit=again.found.packages_commit,
            concrete_spec=SPEC,
            image_digest=ci_facts.image_digest(request.variables),
            variables=again.changing,
            commands=again.commands(spec),
        ),
        versions=ci_facts.versions(spack=again.found.spack_version),
        job=ci_facts.job_facts(request.variables),
        asked=ci_facts.asked_facts(request.variables),
    )


def _nothing_done(
    session: Session, spec: ConcreteSpec, again: Reproduction, publish: telemetry.Publish | None = None
) -> RunResult:
    """Record that there was nothing to do, unless an earlier run of the package has left its record: that one stays."""
    earlier = find_folder(session.request.out, spec.name, spec.version, spec.hash)
    if earlier is None:
        recorder = _recorder(session, spec, again)
        recorder.skip(Outcome.ALREADY_THERE, publish=publish)
        return recorder.result
    session.log.note(f"{spec.title}: its last run is in {earlier}")
    recorder = Recorder(earlier, _subject(session, spec, again), secret_values=session.environments.secret_values)
    recorder.skip(Outcome.ALREADY_THERE, publish=publish, writes=False)
    return recorder.result


def _already_published(session: Session, spec: ConcreteSpec, again: Reproduction) -> RunResult:
    """Record that there was nothing to do."""
    target = session.request.target
    assert target is not None
    url = f"{target.url}/{layout.manifest_key(spec.name, spec.version, spec.hash)}"
    return _nothing_done(session, spec, again, telemetry.Publish(state="already_there", url=url))


def _unpublishable(session: Session, spec: ConcreteSpec, again: Reproduction, fault: str) -> RunResult:
    """Record a root that is not built, since the target could not serve it."""
    session.log.error(f"{fault}. It is not built")
    recorder = _recorder(session, spec, again)
    recorder.skip(Outcome.PUBLISH_FAILED, publish=telemetry.Publish(state="failed"))
    return _write_page(session, recorder)


def _publish_only(publisher: Publisher, spec: ConcreteSpec, again: Reproduction) -> RunResult:
    """Publish a package that Spack has installed already, if anything is to be published."""
    session = publisher.session
    session.log.note(f"{spec.title}: already installed, nothing to build")
    if not session.request.packs:
        return _nothing_done(session, spec, again)
    recorder = _recorder(session, spec, again)
    recorder.skip(Outcome.ALREADY_THERE)
    with Publishing(publisher, spec, recorder.folder) as publishing:
        publishing.publish(recorder)
    return recorder.result


def _build_one(publisher: Publisher, spec: ConcreteSpec, again: Reproduction, failures: Failures) -> RunResult:
    """Build one package, publish it, and return how it went; skipped if one of its dependencies failed."""
    session, spack = publisher.session, publisher.spack
    recorder = _recorder(session, spec, again)
    if roots := failures.roots(spec.build_needs):
        session.log.error(f"{spec.title}: not built, since {describe_failed(roots)}")
        recorder.blame(roots)
        recorder.skip(Outcome.DEPENDENCY_FAILED)
        return _report(session, recorder)
    session.log.step(f"building {spec.title}")
    fetch_report = recorder.folder / FETCH_REPORT
    process = Process(
        argv=spack.install_argv(spec, jobs=session.request.jobs, fetch_report=fetch_report),
        environment=spack.environment(session.environments.build),
        folder=Path.cwd(),
        writes_to=(Place("stage folder", stage_folder(again.found, spec)), Place("install tree", Path(spec.prefix))),
        needs=planning.named_by(again.found, spec.build_needs),
        fetch_report=fetch_report,
    )
    with Publishing(publisher, spec, recorder.folder) as publishing:
        packs = session.request.packs
        run(process, recorder, around=_surroundings(session, publishing if packs else None))
        if recorder.outcome is Outcome.ALREADY_THERE:
            for note in recorder.result.notes:
                session.log.note(f"{spec.title}: {note}")
            if packs:
                publisher.learn_origins([spec])  # another process has installed it, maybe from anywhere
                publishing.publish(recorder)
            return recorder.result
        if recorder.outcome is Outcome.BUILT and packs:
            _write_page(session, recorder)  # before publishing: a kill while it lasts loses nothing
            publishing.publish(recorder)
    return _report(session, recorder)


def _surroundings(session: Session, publishing: Publishing | None = None) -> Surroundings:
    around = Surroundings(
        stop=session.stop,
        deadline=session.deadline,
        interval_seconds=session.request.interval_seconds,
        terminal=sys.stdout.fileno() if sys.stdout else None,
    )
    if publishing is None:
        return around
    return msgspec.structs.replace(around, prestart=publishing.prestart, standby=publishing.standby)


def _write_page(session: Session, recorder: Recorder) -> RunResult:
    """Write the page of a run; a fault is only noted."""
    recorder.note(report(recorder.result, None, secret_values=session.environments.secret_values))
    return recorder.result


def _report(session: Session, recorder: Recorder) -> RunResult:
    """Write everything that people and CDash read of a run, and show its table. Never changes the outcome."""
    secrets, log = session.environments.secret_values, session.log
    cause = find_cause(recorder.result, secret_values=secrets)
    recorder.explain(cause.first_error, cause.memory_kills)
    recorder.note(cause.faults)
    recorder.note(report(recorder.result, session.request.cdash_names, secret_values=secrets))
    result = recorder.result
    for note in result.notes:
        log.warning(note)
    links = tuple(
        Link(label=label, url=str(result.folder / name)) for label, name in PAGES if (result.folder / name).exists()
    )
    links += tuple(
        Link(label=link.label, url=os.path.normpath(result.folder / link.url))
        for link in failed_links(result.telemetry, result.folder)
    )
    log.plain(terminal.table(result.telemetry, color=log.color, width=log.width, links=links))
    if result.outcome not in _NOTHING_TO_REPEAT:
        log.plain(f"to do the same again, in {result.folder}:\n" + "\n".join(result.telemetry.reproduce.commands))
    return result
