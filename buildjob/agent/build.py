"""The story of `spack-farm build`: plan, fetch what a build cache has, then build, publish and report package by package.

Holds the order of the steps; each step is done elsewhere. A request that can't work is rejected before anything starts.
Whatever happens, the results so far are written down.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent import ci_facts, packages, planning, reproduction
from buildjob.agent.disks import Place, cannot_write, full_disks_named, require_temporary_folder
from buildjob.agent.failures import Failures
from buildjob.agent.index_page import IndexPage
from buildjob.agent.package_status import (
    PackageStatus,
    announce_builds,
    announce_plan,
    announce_result,
    announce_start,
)
from buildjob.agent.publisher import Publisher
from buildjob.agent.publishing import send_telemetry
from buildjob.agent.recorder import Recorder, Subject
from buildjob.agent.reproduction import Reproduction
from buildjob.agent.request import BuildRequest, CommandBuild
from buildjob.agent.run import Process, require_memory_limit, run
from buildjob.agent.schedule import Schedule, schedule
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.events import Package
from buildjob.log import Log
from buildjob.outcome import Outcome, combined, exit_code
from buildjob.process import child, environments
from buildjob.report.explain import describe_failed
from buildjob.run_folder import RunResult, require_room
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.find import find
from buildjob.spack.layout import silence_scope


def build(request: BuildRequest, log: Log) -> int:
    """Do what is requested; return the exit code. Raises AgentError for what ends it before a package is run."""
    child.become_subreaper()
    child.seclude()
    try:
        require_room(request.out)
    except OSError as error:
        raise cannot_write(error, request.out, option="--out") from error
    require_memory_limit(request.memory_bytes)
    with child.StopRequest() as stop:
        session = Session.begin(request, log, stop)
        for fault in ci_facts.asked_faults(request.variables):
            log.warning(fault)
        environments.forget(session.environments.secret_names)
        results: list[RunResult] = []
        pages = IndexPage(request.out, log)
        try:
            for result in _run_command(session, request.command) if request.command else _build_with_spack(session):
                results.append(result)  # those before an error are reported, too
                announce_result(log.events, result)
                pages.update()
        finally:
            if results:
                pages.write()
            packages.write_job_files(session, results)
            send_telemetry(session, results)
    packages.show_results(session, results)
    outcome = combined(
        roots=[result.outcome for result in results if result.is_root],
        dependencies=[result.outcome for result in results if not result.is_root],
    )
    log.events.outcome = outcome
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
        job=ci_facts.job_facts(request.variables, agent_started_at=session.began_at),
        asked=ci_facts.asked_facts(request.variables),
    )
    folder = packages.run_folder_for(request, command.name, command.version)
    recorder = Recorder(folder, subject, secret_values=session.environments.secret_values)
    process = Process(
        argv=["/bin/sh", "-c", command.command],
        environment=session.environments.build,
        folder=Path.cwd(),
        writes_to=(Place("prefix", command.prefix),) if command.prefix else (),
        is_spack=False,
    )
    session.log.step(f"running {subject.title}: {command.command}")
    status = PackageStatus(f"{command.name}@{command.version}")
    announce_builds(session.log.events, [Package(name=command.name, version=command.version)])
    announce_start(session.log.events, recorder.result)
    with session.log.screen.showing(status.forms):
        run(process, recorder, around=packages.surroundings(session, recorder, status))
        status.at("reporting")
        result = packages.write_reports(session, recorder)
    packages.show(session, result)
    yield result


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
        planning.log_schedule(session, found, work)
        announce_plan(session.log.events, work)
        planning.check_sources(session.log, found, work)
        if silent := [fault for fault in found.mirror_faults if fault.is_silent]:
            spack = spack.with_scope(silence_scope(Path(scratch) / "silent", silent))
        try:
            for spec in found.specs:
                if spec.hash in unpublishable:
                    yield packages.unpublishable(session, spec, again, unpublishable[spec.hash])
            _fetch(session, spack, work.fetch, trust)
            for spec in work.nothing:
                yield packages.already_published(session, spec, again)
            for spec in work.publish_only:
                yield packages.publish_only(publisher, spec, again)
            yield from _build_all(publisher, work, again)
        finally:
            planning.refresh(session, spack, found, work)


def _build_all(publisher: Publisher, work: Schedule, again: Reproduction) -> Iterator[RunResult]:
    """Build what is to be built; before each, fetch what could not be fetched earlier."""
    session, failures = publisher.session, Failures()
    for number, spec in enumerate(work.build, 1):
        late = work.fetch_before.get(spec.hash, [])
        for each in late:
            if roots := failures.roots(each.binary_needs):
                session.log.error(f"{each.title}: not installed from the build cache, since {describe_failed(roots)}")
                failures.add_unfetched(each)
        _fetch(session, publisher.spack, [each for each in late if each.hash not in failures], publisher.trust)
        result = packages.build_one(publisher, spec, again, failures, number=number, of=len(work.build))
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
