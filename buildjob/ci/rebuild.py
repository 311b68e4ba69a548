"""The story of `spack-farm build --ci`: one job of a pipeline that `spack ci generate` has written.

Dependencies come from the mirrors only; what a mirror has already is not built again. Each way to fail has its own outcome
and its report. Only a package that does not build is registered as broken. Source: Spack 1.1, lib/spack/spack/cmd/ci.py.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent import packages, planning
from buildjob.agent.disks import cannot_write, full_disks_named, require_temporary_folder
from buildjob.agent.failures import Failures, missing_dependencies
from buildjob.agent.index_page import IndexPage
from buildjob.agent.package_status import announce_builds, announce_result, package_of
from buildjob.agent.publisher import Publisher
from buildjob.agent.publishing import send_telemetry
from buildjob.agent.recorder import Recorder
from buildjob.agent.request import BuildRequest, Target
from buildjob.agent.run import require_memory_limit
from buildjob.agent.session import Session
from buildjob.buildcache import layout, signing
from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.ci import artifacts, destination, reporting
from buildjob.ci.job import CIJob, key_of, read_job
from buildjob.ci.phrases import last_line
from buildjob.ci.standalone_tests import keep_none, run_tests, skip_tests
from buildjob.errors import AgentError, RequestError
from buildjob.log import Log
from buildjob.outcome import Outcome, exit_code
from buildjob.process import child, environments
from buildjob.run_folder import LOG, RunResult, require_room
from buildjob.spack.adapter import Spack
from buildjob.spack.ci_answer import Rebuild
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.find import SpackInstallation, find
from buildjob.spack.layout import archived_files, files_of_stage, stage_folder, trusted_keys_home
from buildjob.spack.mirror_faults import FetchReport, MirrorFault, SourceFault

_REBUILT = {Outcome.BUILT, Outcome.ALREADY_THERE}


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """What every step of one job needs."""

    session: Session
    job: CIJob
    spack: Spack
    found: Rebuild
    is_verified: bool
    """Signatures of dependencies are checked."""
    spec: ConcreteSpec
    trust: signing.TrustHome | None
    installation: SpackInstallation


def rebuild(request: BuildRequest, log: Log) -> int:
    """Do what the job asks for; return the exit code. Raises AgentError for what ends it before the package is run."""
    job = read_job(request.variables)
    child.become_subreaper()
    child.seclude()
    try:
        require_room(request.out)
        artifacts.begin(job)
    except OSError as error:
        raise cannot_write(error, job.artifacts, option="SPACK_ARTIFACTS_ROOT") from error
    require_memory_limit(request.memory_bytes)
    with child.StopRequest() as stop:
        session = Session.begin(request, log, stop)
        environments.forget(session.environments.secret_names)
        result = _rebuild(session, job)
    announce_result(log.events, result)
    packages.show_results(session, [result])
    log.events.outcome = result.outcome
    return exit_code(result.outcome, signal_number=stop.signal_number)


def _rebuild(session: Session, job: CIJob) -> RunResult:
    request = session.request
    require_temporary_folder(request.variables)
    installation = find(request.spack, request.variables, request.paths)
    request = _with_key(request, _signing_key(request, job, installation))
    session = msgspec.structs.replace(session, request=request)
    planning.check_signing_key(request, session.log, now=time.time())
    with tempfile.TemporaryDirectory(prefix="spack-farm-") as scratch, planning.trusted(request, installation) as trust:
        spack = Spack(installation, call=session.call, scopes=request.scopes)
        if warning := spack.version_warning():
            session.log.warning(warning)
        session.log.step(f"looking for /{job.dag_hash[:7]} and its dependencies, with Spack of {installation.found}")
        with full_disks_named(request.variables):
            is_verified = not job.is_pull_request and _knows_keys(request, installation, trust)
            found = _ask(session, job, spack, Path(scratch), trust, is_verified=is_verified)
        session = _with_configuration(session, job, found)
        environments.forget(session.environments.secret_names)
        (spec,) = (each for each in found.specs if each.hash in found.roots)
        work = _Work(
            session=session,
            job=job,
            spack=spack.in_environment(found.environment),
            found=found,
            is_verified=is_verified,
            spec=spec,
            trust=trust,
            installation=installation,
        )
        _save_reproduction(work)
        result = _build(work)
        _finish(work, result)
        IndexPage(session.request.out, session.log).write()
        packages.write_job_files(session, [result])
        send_telemetry(session, [result])
        return result


def _signing_key(request: BuildRequest, job: CIJob, installation: SpackInstallation) -> KeySource | None:
    """Return the key that signs: the option's, the variable's, or the only secret key that Spack has."""
    given = request.target.signing_key_file if request.target else None
    key = given or key_of(job) or _key_of_spack(request, installation)
    if key is None and job.requires_signing:
        raise RequestError(
            "SPACK_REQUIRE_SIGNING is True, and there is no key to sign with: set SPACK_SIGNING_KEY to the base64 of an "
            "armored secret key, or give --signing-key-file"
        )
    return key


def _key_of_spack(request: BuildRequest, installation: SpackInstallation) -> KeySource | None:
    home = trusted_keys_home(installation, request.variables)
    text = signing.only_secret_key(home) if home.is_dir() else b""
    return KeySource(title=f"the secret key in {home}", held=text) if text else None


def _with_key(request: BuildRequest, key: KeySource | None) -> BuildRequest:
    """Return the request with a target that has the key; its address is known when Spack has answered."""
    passphrase = request.target.passphrase_file if request.target else None
    return msgspec.structs.replace(
        request, target=Target(url="", folder=None, signing_key_file=key, passphrase_file=passphrase)
    )


def _knows_keys(request: BuildRequest, installation: SpackInstallation, trust: signing.TrustHome | None) -> bool:
    """Return whether Spack trusts any key: without one `spack ci rebuild` checks no signature."""
    home = trust.home if trust else trusted_keys_home(installation, request.variables)
    return home.is_dir() and signing.has_public_key(home)


def _ask(  # noqa: PLR0913  what a question to Spack needs
    session: Session, job: CIJob, spack: Spack, scratch: Path, trust: signing.TrustHome | None, *, is_verified: bool
) -> Rebuild:
    """Let Spack read the environment, look whether a mirror has the spec, and install its dependencies if none has."""
    folder = scratch / "specs"
    folder.mkdir()
    question = {
        "environment": str(job.environment),
        "hash": job.dag_hash,
        "folder": str(folder),
        "is_verified": is_verified,
        "is_protected": job.is_protected,
        "rebuilds_all": job.rebuilds_all,
    }
    variables = session.request.variables

    def credentials(names: list[str]) -> Mapping[str, str]:
        split = environments.split(variables, mirror_variables=names)
        return {name: value for name, value in split.fetch.items() if split.build.get(name) != value}

    environment = spack.environment(session.environments.build, gpg_home=trust.home if trust else None)
    return spack.rebuild(question, credentials=credentials, converse=session.converse, environment=environment)


def _with_configuration(session: Session, job: CIJob, found: Rebuild) -> Session:
    """Return the session with what Spack's configuration says: whose variables are secret, the target, CDash's names."""
    request = session.request
    assert request.target
    target = destination.target_of(found.ci.destination, request.target.signing_key_file, request.target.passphrase_file)
    variables = destination.with_access(found.ci.destination, request.variables)
    changed = msgspec.structs.replace(
        request,
        target=target,
        variables=variables,
        telemetry_mirror=request.telemetry_mirror or target.url,
        cdash_names=destination.cdash_names(
            found.ci.cdash, job, request.cdash_names, runner=variables.get("CI_RUNNER_DESCRIPTION", "")
        ),
    )
    split = environments.split(variables, mirror_variables=found.secret_variables)
    return msgspec.structs.replace(session, request=changed, environments=split)


def _build(work: _Work) -> RunResult:
    """Build the spec, or record why that is not needed or not possible."""
    session, found, spec, log = work.session, work.found, work.spec, work.session.log
    again = planning.reproduction(session, work.installation, found, work.trust)
    if found.up_to_date:
        log.step(f"{spec.title}: no need to build it, a mirror has it: {', '.join(found.up_to_date)}")
        recorder = packages.recorder_for(session, spec, again)
        url = f"{found.up_to_date[0]}/{layout.manifest_key(spec.name, spec.version, spec.hash)}"
        recorder.skip(Outcome.ALREADY_THERE, publish=telemetry.Publish(state="already_there", url=url))
        return recorder.result
    if found.missing:
        return _not_built(work, packages.recorder_for(session, spec, again))
    if lost := destination.lost(found.mirror_faults):
        # known before an hour is spent on a binary that can't be pushed, or that was there all the time
        reason = f"{lost.sentence}; {lost.advice}"
        log.error(f"{spec.title}: not built, since its binary could not be pushed: {reason}")
        return _not_fetched(work, packages.recorder_for(session, spec, again), reason, [lost])
    _warn_of_mirrors(work)
    planning.reject_unfetchable([spec])
    if found.fetched:
        log.note(f"{len(found.fetched)} package{'s' * (len(found.fetched) != 1)} installed from the mirrors")
    _log_trust(work)
    there = frozenset(each.hash for each in found.specs) - {spec.hash}
    publisher = Publisher(session, work.spack, found, trust=work.trust, there=there)
    then = _tester(work)
    if spec.is_there:
        publisher.learn_origins([spec])
        return packages.publish_only(publisher, spec, again, then=then)
    announce_builds(log.events, [package_of(spec)])
    return packages.build_one(publisher, spec, again, Failures(), then=then)


def _log_trust(work: _Work) -> None:
    request, found = work.session.request, work.found
    if not work.is_verified and not work.job.is_pull_request and any(mirror.signed for mirror in found.mirrors):
        work.session.log.warning(
            "no public key is trusted, so the signatures of dependencies were not checked (--trust FILE)"
        )
    if found.ci.destination.signed and not (request.target and request.target.signing_key_file):
        work.session.log.warning(
            f"{found.ci.destination.url} is configured as signed, and there is no key to sign with: its users who check "
            "signatures cannot install the binary; set SPACK_SIGNING_KEY, or 'signed: false' in the mirror's configuration"
        )


def _not_built(work: _Work, recorder: Recorder) -> RunResult:
    """Record that dependencies could not be had: a mirror's fault may pass, a dependency that no mirror has does not."""
    found, spec, log = work.found, work.spec, work.session.log
    by_hash = {each.hash: each for each in found.specs}
    lacking = [by_hash[each.hash] for each in found.missing if each.state != "available"]
    faults = [fault for fault in found.mirror_faults if fault.kind != "no_folder"]
    titles = ", ".join(by_hash[each.hash].title for each in found.missing)
    if faults or not lacking:
        reasons = " | ".join(f"{fault.sentence}; {fault.advice}" for fault in faults) or found.fetch_error
        log.error(f"{spec.title}: not built, since {titles} could not be fetched from the mirrors: {reasons}")
        recorder.note([f"{titles}: not fetched from the mirrors: {reasons}"])
        return _not_fetched(work, recorder, found.fetch_error, faults)
    untrusted = {each.hash for each in found.missing if each.state == "untrusted"}
    named = ", ".join(f"{each.title}{' (signature not trusted)' * (each.hash in untrusted)}" for each in lacking)
    log.error(f"{spec.title}: not built, no binary available of {named}; run the jobs that build them first")
    recorder.blame(missing_dependencies(lacking))
    recorder.skip(Outcome.DEPENDENCY_FAILED)
    return packages.report_run(work.session, recorder)


def _not_fetched(work: _Work, recorder: Recorder, text: str, faults: Sequence[MirrorFault]) -> RunResult:
    """Record that a mirror did not answer without which there is nothing to build, or no use in it."""
    recorder.skip(Outcome.FETCH_FAILED)
    sources = [SourceFault(url=fault.url, kind=fault.kind, text=fault.text) for fault in faults]
    recorder.fetched(FetchReport(text=text, faults=sources))
    return packages.report_run(work.session, recorder)


def _warn_of_mirrors(work: _Work) -> None:
    """Log what is wrong with mirrors that turned out not to be needed; the first binary makes a folder that is missing."""
    for fault in work.found.mirror_faults:
        if fault.kind != "no_folder":
            work.session.log.warning(f"{fault.sentence}. Nothing of it is needed here; {fault.advice}")


def _tester(work: _Work) -> Callable[[Recorder], None]:
    """Return what is done after a build: its stand-alone tests, if they are asked for."""

    def then(recorder: Recorder) -> None:
        if work.session.request.standalone_tests is None or work.session.stop.signal_number:
            return
        if work.spec.name in work.found.ci.broken_tests:
            skip_tests(recorder, work.spec, "listed in broken-tests-packages")
            work.session.log.warning(f"{work.spec.title}: stand-alone tests not run: listed in ci:broken-tests-packages")
            return
        if not work.found.has_tests:
            keep_none(work.session, work.job, work.spec, work.found.test_id)
            return
        run_tests(work.session, work.spack, work.spec, recorder, work.job)

    return then


def _save_reproduction(work: _Work) -> None:
    """Write what `spack ci reproduce-build` reads; a fault is a warning."""
    spec, found, request = work.spec, work.found, work.session.request
    install = ["spack", "--color=always", "--backtrace", "--verbose", "install"]
    options = ["--use-buildcache=package:never,dependencies:only"]
    options += [] if work.is_verified else ["--no-check-signature"]
    options += [f"-j{request.jobs}"] if request.jobs else []
    one = f"/{spec.hash}"
    scripts = artifacts.Scripts(
        install=[
            [*install, *options, "--only=dependencies", one],
            [*install, *options, "--keep-stage", "--only=package", one],
        ],
        test=["spack", "--color=always", "--backtrace", "--verbose", "test", "run", one],
    )
    info = f"Spack {found.spack_version} ({found.spack_commit})\npackages {found.packages_commit}"
    try:
        artifacts.save_reproduction(work.job, spec.name, Path(spec.spec_file), scripts, info)
    except OSError as error:
        work.session.log.warning(f"{work.job.reproduction} could not be written: {error.strerror or error}")


def _finish(work: _Work, result: RunResult) -> None:
    """Keep the logs, tell CDash and the list of broken specs; a fault of any of these is a warning."""
    session, spec = work.session, work.spec
    if result.outcome not in _REBUILT:
        session.log.error(last_line(result.telemetry))
    for step in (_save_logs, _submit, _note_broken):
        if session.stop.signal_number and step is not _save_logs:
            return
        try:
            step(work, result)
        except (AgentError, OSError) as error:
            session.log.warning(f"{spec.title}: {error}")


def _save_logs(work: _Work, result: RunResult) -> None:
    archived = archived_files(Path(work.spec.prefix))
    if not archived and (result.folder / LOG).exists():
        archived = files_of_stage(stage_folder(work.found, work.spec), work.found.archived)
    artifacts.save_logs(work.job, result.folder, archived, work.session.environments.secret_values)


def _submit(work: _Work, result: RunResult) -> None:
    reporting.submit_to_cdash(work.session, work.job, work.found.ci, result)


def does_not_build(document: telemetry.Telemetry) -> bool:
    """Return whether a package is to blame for a failed build. A signal does not say who killed Spack amid it."""
    ended = document.build_process
    return document.outcome == Outcome.BUILD_FAILED.value and (ended is None or ended.exit_code is not None)


def _note_broken(work: _Work, result: RunResult) -> None:
    """Keep the list of broken specs: on protected branches, of packages that do not build, and of nothing else."""
    url, spec, job = work.found.ci.broken_specs_url, work.spec, work.job
    if not url or not job.is_protected or work.found.up_to_date:
        return
    is_broken = does_not_build(result.telemetry)
    if not is_broken and not (result.outcome in _REBUILT and work.found.is_broken):
        return
    question = {
        "url": url,
        "hash": spec.hash,
        "name": spec.name,
        "stack": job.stack,
        "job_url": job.job_url,
        "pipeline_url": job.pipeline_url,
        "spec_file": spec.spec_file if is_broken else "",
    }
    environment = work.spack.environment(work.session.environments.fetch)
    changed = work.spack.broken_spec(question, environment=environment)
    if not is_broken:
        work.session.log.note(f"{spec.title}: deleted from the list of broken specs, {url}")
    elif changed:
        work.session.log.note(f"{spec.title}: registered as broken in {url}")
    else:
        work.session.log.warning(f"{spec.title}: could not be registered as broken in {url}")
