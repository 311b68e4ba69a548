"""One package of a call: its folder and recorder, its build, its publishing, and what is written and shown of it.

Knows nothing of the other packages but which of them have failed, and not who asked for it.
"""

import functools
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent import ci_facts, planning
from buildjob.agent.disks import Place, cannot_write
from buildjob.agent.failures import Failures
from buildjob.agent.folding import folded, phase_folds
from buildjob.agent.package_status import PackageStatus, announce_phase, announce_start
from buildjob.agent.publisher import Publisher
from buildjob.agent.publishing import Publishing
from buildjob.agent.recorder import Recorder, Subject
from buildjob.agent.reproduction import Reproduction
from buildjob.agent.request import BuildRequest
from buildjob.agent.run import Process, Surroundings, run
from buildjob.agent.session import Session
from buildjob.buildcache import layout
from buildjob.gitlab import files
from buildjob.gitlab.sections import PhaseFolds
from buildjob.outcome import Outcome
from buildjob.report import terminal
from buildjob.report.explain import describe_failed
from buildjob.report.link import Link, failed_links
from buildjob.report.write import PAGES, find_cause, report
from buildjob.run_folder import FETCH_REPORT, PAGE, REPRODUCE, SPEC, RunResult, find_folder, new_folder
from buildjob.spack.adapter import install_command
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.layout import stage_folder

_NOTHING_TO_REPEAT = {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.INTERRUPTED}
"""Outcomes after which the job's log does not end with the commands that do the same again: nothing is to be debugged."""


_NOT_CLOSING = {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.DEPENDENCY_FAILED}
"""Outcomes that say nothing of their own of why a call has failed."""


def _do_nothing(_recorder: Recorder) -> None:
    pass


def run_folder_for(request: BuildRequest, name: str, version: str, dag_hash: str = "") -> Path:
    """Make and return a run folder. Raises AgentError, naming `--out`, if that can't be done."""
    try:
        return new_folder(request.out, name, version, dag_hash)
    except OSError as error:
        raise cannot_write(error, request.out, option="--out") from error


def recorder_for(session: Session, spec: ConcreteSpec, again: Reproduction) -> Recorder:
    """Return the recorder of a package's run, in a new folder in which its concrete spec lies."""
    folder = run_folder_for(session.request, spec.name, spec.version, spec.hash)
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
        job=ci_facts.job_facts(request.variables, agent_started_at=session.began_at),
        asked=ci_facts.asked_facts(request.variables),
    )


def nothing_done(
    session: Session, spec: ConcreteSpec, again: Reproduction, publish: telemetry.Publish | None = None
) -> RunResult:
    """Record that there was nothing to do, unless an earlier run of the package has left its record: that one stays."""
    earlier = find_folder(session.request.out, spec.name, spec.version, spec.hash)
    if earlier is None:
        recorder = recorder_for(session, spec, again)
        recorder.skip(Outcome.ALREADY_THERE, publish=publish)
        return recorder.result
    session.log.note(f"{spec.title}: its last run is in {earlier}")
    recorder = Recorder(earlier, _subject(session, spec, again), secret_values=session.environments.secret_values)
    recorder.skip(Outcome.ALREADY_THERE, publish=publish, writes=False)
    return recorder.result


def already_published(session: Session, spec: ConcreteSpec, again: Reproduction) -> RunResult:
    """Record that there was nothing to do."""
    target = session.request.target
    assert target is not None
    url = f"{target.url}/{layout.manifest_key(spec.name, spec.version, spec.hash)}"
    return nothing_done(session, spec, again, telemetry.Publish(state="already_there", url=url))


def unpublishable(session: Session, spec: ConcreteSpec, again: Reproduction, fault: str) -> RunResult:
    """Record a root that is not built, since the target could not serve it."""
    session.log.error(f"{fault}. It is not built")
    recorder = recorder_for(session, spec, again)
    recorder.skip(Outcome.PUBLISH_FAILED, publish=telemetry.Publish(state="failed"))
    return _write_page(session, recorder)


def publish_only(
    publisher: Publisher, spec: ConcreteSpec, again: Reproduction, *, then: Callable[[Recorder], None] = _do_nothing
) -> RunResult:
    """Publish a package that Spack has installed already, if anything is to be published; `then` is called afterwards."""
    session = publisher.session
    session.log.note(f"{spec.title}: already installed, nothing to build")
    if not session.request.packs:
        return nothing_done(session, spec, again)
    recorder = recorder_for(session, spec, again)
    recorder.skip(Outcome.ALREADY_THERE)
    with Publishing(publisher, spec, recorder.folder) as publishing:
        publishing.publish(recorder)
    then(recorder)
    return recorder.result


def build_one(  # noqa: PLR0913  the call's, the package's, and what is done after it
    publisher: Publisher,
    spec: ConcreteSpec,
    again: Reproduction,
    failures: Failures,
    *,
    number: int = 1,
    of: int = 1,
    then: Callable[[Recorder], None] = _do_nothing,
) -> RunResult:
    """Build one package, publish it, and return how it went; skipped if one of its dependencies failed.

    `number` is its place among the `of` packages that this call builds. `then` is called before the run is reported, if the
    package was built.
    """
    session, spack = publisher.session, publisher.spack
    recorder = recorder_for(session, spec, again)
    if roots := failures.roots(spec.build_needs):
        session.log.error(f"{spec.title}: not built, since {describe_failed(roots)}")
        recorder.blame(roots)
        recorder.skip(Outcome.DEPENDENCY_FAILED)
        return report_run(session, recorder)
    fetch_report = recorder.folder / FETCH_REPORT
    status = PackageStatus(f"{spec.name}@{spec.version}", number=number, of=of)
    announce_start(session.log.events, recorder.result, number=number, of=of)
    with (
        session.log.screen.showing(status.forms),
        folded(session, f"{status.place}building {spec.title}", spec.name, spec.hash[:7]),
        Publishing(publisher, spec, recorder.folder) as publishing,
    ):
        pipes = publishing.pipes()
        process = Process(
            argv=spack.install_argv(
                spec,
                jobs=session.request.jobs,
                fetch_report=fetch_report,
                pipes=pipes,
                has_verdict=not session.request.is_ci,
            ),
            environment=spack.environment(session.environments.build),
            folder=Path.cwd(),
            writes_to=(Place("stage folder", stage_folder(again.found, spec)), Place("install tree", Path(spec.prefix))),
            needs=planning.named_by(again.found, spec.build_needs),
            fetch_report=fetch_report,
            pipes=pipes or (),
        )
        packs = session.request.packs
        around = surroundings(session, recorder, status, publishing if packs else None, folds=phase_folds(session, spec))
        run(process, recorder, around=around)
        if recorder.outcome is Outcome.ALREADY_THERE:
            for note in recorder.result.notes:
                session.log.note(f"{spec.title}: {note}")
            if packs:
                status.at("publishing")
                publisher.learn_origins([spec])  # another process has installed it, maybe from anywhere
                publishing.publish(recorder)
            return recorder.result
        if recorder.outcome is Outcome.BUILT and packs:
            status.at("publishing")
            _write_page(session, recorder)  # before publishing: a kill while it lasts loses nothing
            publishing.publish(recorder)
        if recorder.outcome in {Outcome.BUILT, Outcome.PUBLISH_FAILED}:
            status.at("")
            then(recorder)
        status.at("reporting")
        result = write_reports(session, recorder)
        if session.request.folds:
            session.log.plain(_table(session, result))
    show(session, result)
    return result


def surroundings(
    session: Session,
    recorder: Recorder,
    status: PackageStatus,
    publishing: Publishing | None = None,
    *,
    folds: PhaseFolds | None = None,
) -> Surroundings:
    """Return what a run has around it in this call; `publishing` is what follows the build."""
    around = Surroundings(
        stop=session.stop,
        deadline=session.deadline,
        interval_seconds=session.request.interval_seconds,
        terminal=sys.stdout.fileno() if sys.stdout and not session.log.is_quiet else None,
        folds=folds,
        status=status,
        phase_begun=functools.partial(announce_phase, session.log.events, recorder.result),
        screen=session.log.screen,
        memory_bytes=session.request.memory_bytes,
    )
    if publishing is None:
        return around
    return msgspec.structs.replace(
        around, prestart=publishing.prestart, standby=publishing.standby, started=publishing.started
    )


def _write_page(session: Session, recorder: Recorder) -> RunResult:
    """Write the page of a run; a fault is only noted."""
    recorder.note(report(recorder.result, None, secret_values=session.environments.secret_values))
    return recorder.result


def report_run(session: Session, recorder: Recorder) -> RunResult:
    """Write everything that people and CDash read of a run, and show how it ended. Never changes the outcome."""
    result = write_reports(session, recorder)
    show(session, result)
    return result


def write_reports(session: Session, recorder: Recorder) -> RunResult:
    """Write everything that people and CDash read of a run. Never changes the outcome."""
    secrets = session.environments.secret_values
    cause = find_cause(recorder.result, secret_values=secrets)
    recorder.explain(cause.first_error, cause.memory_kills)
    recorder.note(cause.faults)
    recorder.note(report(recorder.result, session.request.cdash_names, secret_values=secrets))
    return recorder.result


def show(session: Session, result: RunResult) -> None:
    """Show how a run ended: its table, or, in a log whose sections hold that, what the reader needs at once."""
    log, folds = session.log, session.request.folds
    for note in result.notes:
        log.warning(note)
    if log.is_quiet:
        return
    if folds and not result.notes and terminal.is_trivial(result.telemetry):
        log.note(terminal.one_line(result.telemetry, page=str(result.folder / PAGE)))
        return
    again = ""
    if result.outcome not in _NOTHING_TO_REPEAT:
        again = f"to do the same again, in {result.folder}:\n" + "\n".join(result.telemetry.reproduce.commands)
    if not folds:
        log.plain(_table(session, result))
        if again:
            log.plain(again)
        return
    if again:
        with folded(session, "commands that do the same again", result.folder.name, "again"):
            log.plain(again)
    log.plain(
        terminal.brief(
            result.telemetry, color=log.color, width=log.width, links=_links(result),
            command=command_again(session, result) if again else "",
        )
    )  # fmt: skip


def show_results(session: Session, results: Sequence[RunResult]) -> None:
    """Show how all runs ended, where there are several, or where nothing else was shown."""
    log = session.log
    if len(results) > 1:
        rows = [result.telemetry for result in results]
        log.result(terminal.overview(rows, color=log.color, width=log.width))
        failed = [
            (result.telemetry, command_again(session, result)) for result in results if result.outcome not in _NOT_CLOSING
        ]
        if failed:
            log.result(terminal.closing(failed, color=log.color, width=log.width))
    elif log.is_quiet:
        for result in results:
            if terminal.is_trivial(result.telemetry):
                log.result(terminal.one_line(result.telemetry, page=str(result.folder / PAGE)))
                continue
            again = "" if result.outcome in _NOTHING_TO_REPEAT else command_again(session, result)
            log.result(
                terminal.brief(result.telemetry, color=log.color, width=log.width, links=_links(result), command=again)
            )


def command_again(session: Session, result: RunResult) -> str:
    """Return the command that does the same again, where the job's artifacts or the run folder are; "" without Spack."""
    known = result.telemetry.spec
    if not known.hash:
        return ""
    job = session.request.variables.get("CI_JOB_URL", "")
    where = f"{shlex.quote(job)} --hash {known.hash[:7]}" if job else shlex.quote(str(result.folder))
    return f"spack-farm build --reproduce {where}"


def write_job_files(session: Session, results: Sequence[RunResult]) -> None:
    """Write what GitLab shows of the packages on the job's page; a fault is a warning."""
    for fault in files.write(results, session.request.out, session.request.variables):
        session.log.warning(fault)


def _table(session: Session, result: RunResult) -> str:
    log = session.log
    return terminal.table(result.telemetry, color=log.color, width=log.width, links=_links(result))


def _links(result: RunResult) -> tuple[Link, ...]:
    links = tuple(
        Link(label=label, url=str(result.folder / name)) for label, name in PAGES if (result.folder / name).exists()
    )
    return links + tuple(
        Link(label=link.label, url=os.path.normpath(result.folder / link.url))
        for link in failed_links(result.telemetry, result.folder)
    )
