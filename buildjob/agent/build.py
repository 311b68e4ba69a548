"""The story of `spack-farm build`: plan, fetch what a build cache has, then build, publish and report package by package.

Holds the order of things; how each is done is elsewhere. Everything that can't work is refused before anything starts, and
whatever happens, what was learned so far is written down.
"""

import contextlib
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from buildjob import telemetry
from buildjob.agent import planning, publish_process, run
from buildjob.agent.publishing import on_mirror, send, send_telemetry, sender
from buildjob.agent.request import BuildRequest, CommandBuild
from buildjob.agent.schedule import Schedule, blocked_by, schedule
from buildjob.agent.session import Session
from buildjob.buildcache import layout, signing
from buildjob.errors import AgentError, FetchError, Interrupted, PublishError
from buildjob.log import Log
from buildjob.outcome import Outcome, exit_code, verdict
from buildjob.process import child, environments
from buildjob.process.prestarted import Ahead
from buildjob.report import terminal
from buildjob.report.log_excerpt import Link
from buildjob.report.write import PAGES, report, reproduce_with_spack
from buildjob.run_folder import SPEC, RunResult, new_folder
from buildjob.spack.adapter import Spack, install_times, mirror_scope
from buildjob.spack.concrete import Node, Plan
from buildjob.spack.find import find


def build(request: BuildRequest, log: Log) -> int:
    """Do what is requested; return the exit code. Raises AgentError for what ends it before a package is run."""
    child.become_subreaper()
    with child.StopRequest() as stop:
        session = Session(request, log, stop)
        environments.forget(session.environments.secret_names)
        try:
            if request.command:
                _run_command(session, request.command)
            else:
                _build_with_spack(session)
        finally:
            send_telemetry(session)
    if len(session.results) > 1:
        rows = [result.telemetry for result in session.results]
        log.plain(terminal.overview(rows, color=log.color, width=log.width))
    return exit_code(_verdict(session), signal_number=stop.signal_number)


def _verdict(session: Session) -> Outcome:
    roots: list[Outcome] = []
    dependencies: list[Outcome] = []
    for result in session.results:
        asked = not session.roots or result.telemetry.spec.hash in session.roots
        (roots if asked else dependencies).append(result.outcome)
    return verdict(roots, dependencies)


def _run_command(session: Session, command: CommandBuild) -> None:
    """Run and measure a build without Spack."""
    request = session.request
    folder = new_folder(request.out, f"{command.name}-{command.version}")
    subject = run.Subject(
        spec=telemetry.PackageSpec(name=command.name, version=command.version),
        reproduce=telemetry.Reproduce(),
        versions=run.versions(),
        job=run.job_facts(request.variables),
        asked=run.asked_facts(request.variables),
    )
    process = run.Process(
        argv=["/bin/sh", "-c", command.command],
        environment=session.environments.build,
        folder=Path.cwd(),
        watched=(command.prefix,) if command.prefix else (),
        is_spack=False,
    )
    session.log.step(f"running {subject.title}: {command.command}")
    result = _run(session, subject, process, folder)
    session.results.append(_report(session, result, reproduce=f"cd {shlex.quote(str(Path.cwd()))}\n{command.command}"))


def _run(
    session: Session,
    subject: run.Subject,
    process: run.Process,
    folder: Path,
    *,
    when_installed: Callable[[], frozenset[int]] = frozenset,
) -> RunResult:
    around = run.Surroundings(
        stop=session.stop,
        deadline=session.deadline,
        interval_seconds=session.request.interval_seconds,
        secret_values=session.environments.secret_values,
        terminal=sys.stdout.fileno() if sys.stdout else None,
        when_installed=when_installed,
    )
    return run.run(subject, process, folder, around=around)


def _report(session: Session, result: RunResult, *, reproduce: str, last: bool = True) -> RunResult:
    """Write the page; at the last time also CDash's documents, and show the summary. Never changes the verdict."""
    reporting = session.request.reporting if last else None
    result = report(result, reporting, secret_values=session.environments.secret_values, reproduce=reproduce)
    if last:
        for note in result.notes:
            session.log.warning(note)
        links = tuple(
            Link(label=label, url=str(result.folder / name)) for label, name in PAGES if (result.folder / name).exists()
        )
        session.log.plain(terminal.table(result.telemetry, color=session.log.color, width=session.log.width, links=links))
    return result


def _build_with_spack(session: Session) -> None:
    """Plan, fetch, and build each package that needs it."""
    request = session.request
    installation = find(request.spack, request.variables, request.paths)
    with tempfile.TemporaryDirectory(prefix="spack-farm-") as scratch, planning.trusted(session, installation.root) as trust:
        scopes = list(request.scopes)
        if request.active_environment:
            scopes.insert(0, request.active_environment)
        if request.target:
            signed = request.target.signing_key_file is not None
            endpoint = publish_process.endpoint_url(request.variables)
            scopes.append(
                mirror_scope(Path(scratch) / "scope", url=request.target.url, signed=signed, endpoint_url=endpoint)
            )
        spack = Spack(installation, call=session.call, scopes=scopes)
        spack.require_supported()
        session.log.step(f"planning with Spack of {installation.found}")
        plan = planning.make_plan(session, spack, Path(scratch), trust)
        if plan.environment:
            spack = spack.in_environment(plan.environment)
        plan = planning.with_remote_binaries(session, spack, plan, trust)
        work = schedule(plan.nodes, plan.roots, on_mirror=on_mirror(session, plan, trust))
        planning.tell(session.log, plan, work)
        _fetch(session, spack, work, trust)
        for node in work.there:
            session.results.append(_already_there(session, node, plan))
        for node in work.installed:
            session.results.append(_installed(session, spack, node, plan))
        failed: dict[str, Outcome] = {}
        for node in work.build:
            result = _build_one(session, spack, node, plan, failed)
            session.results.append(result)
            if result.outcome not in {Outcome.BUILT, Outcome.PUBLISH_FAILED}:
                failed[node.hash] = result.outcome
            if session.stop.signal_number:
                break


def _fetch(session: Session, spack: Spack, work: Schedule, trust: signing.TrustHome | None) -> None:
    """Install from the build caches what they have. Raises FetchError with Spack's words if one of them does not come."""
    if not work.fetch:
        return
    session.log.step(f"installing {len(work.fetch)} packages from the build cache")
    environment = spack.environment(session.environments.fetch, gpg_home=trust.home if trust else None)
    code, printed = session.call(spack.fetch_argv(work.fetch), environment)
    if code != 0:
        lines = printed.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise FetchError("a dependency did not come from the build cache: " + " | ".join(lines))


def _subject(session: Session, node: Node, plan: Plan, folder: Path) -> run.Subject:
    """Return what is known of a package before it is built, and lay its concrete spec beside the documents."""
    (folder / SPEC).write_bytes(Path(node.spec_file).read_bytes())
    dependencies = [msgspec.convert(msgspec.to_builtins(edge), telemetry.Dependency) for edge in node.dependencies]
    return run.Subject(
        spec=telemetry.PackageSpec(
            name=node.name,
            version=node.version,
            hash=node.hash,
            architecture=node.architecture,
            compiler=node.compiler,
            variants=node.variants,
            dependencies=dependencies,
            build_jobs=session.request.jobs or plan.build_jobs,
        ),
        reproduce=telemetry.Reproduce(
            spack_commit=plan.spack_commit, packages_commit=plan.packages_commit, concrete_spec=SPEC
        ),
        versions=run.versions(spack=plan.spack_version),
        job=run.job_facts(session.request.variables),
        asked=run.asked_facts(session.request.variables),
    )


def _folder(session: Session, node: Node) -> Path:
    return new_folder(session.request.out, f"{node.name}-{node.version}-{node.hash[:7]}")


def _already_there(session: Session, node: Node, plan: Plan) -> RunResult:
    """Write down that there was nothing to do."""
    folder = _folder(session, node)
    target = session.request.target
    assert target is not None
    url = f"{target.url}/{layout.manifest_path(node.name, node.version, node.hash).as_posix()}"
    published = telemetry.Publish(state="already_there", url=url)
    return run.not_run(_subject(session, node, plan, folder), folder, Outcome.ALREADY_THERE, published=published)


def _installed(session: Session, spack: Spack, node: Node, plan: Plan) -> RunResult:
    """Publish a package that Spack has installed already."""
    folder = _folder(session, node)
    session.log.note(f"{node.title}: already installed, nothing to build")
    result = run.not_run(_subject(session, node, plan, folder), folder, Outcome.ALREADY_THERE)
    if not session.publishes:
        return result
    with _Publishing(session, spack, node, folder) as publishing:
        return publishing.publish(result)


def _build_one(session: Session, spack: Spack, node: Node, plan: Plan, failed: Mapping[str, Outcome]) -> RunResult:
    """Build one package, publish it, and return how it went; skipped if one of its dependencies failed."""
    folder = _folder(session, node)
    subject = _subject(session, node, plan, folder)
    if blockers := blocked_by(node, failed):
        session.log.error(f"{node.title}: not built, since {', '.join(blockers)} failed")
        result = run.not_run(subject, folder, Outcome.DEPENDENCY_FAILED)
        return _report(session, result, reproduce=reproduce_with_spack(result.telemetry), last=False)
    session.log.step(f"building {node.title}")
    stage = Path(plan.stage_root) / f"spack-stage-{node.name}-{node.version}-{node.hash}"
    process = run.Process(
        argv=spack.install_argv(node, jobs=session.request.jobs),
        environment=spack.environment(session.environments.build),
        folder=Path.cwd(),
        watched=(stage, Path(node.prefix)),
    )
    with _Publishing(session, spack, node, folder) as publishing:
        when_installed = publishing.make_ready if session.publishes else frozenset
        result = _run(session, subject, process, folder, when_installed=when_installed)
        if result.outcome is Outcome.BUILT:
            result = run.with_own_times(result, install_times(Path(node.prefix)))
            if session.publishes:
                # what was measured is safe before anything goes out: a kill while publishing must not lose it
                result = _report(session, result, reproduce=reproduce_with_spack(result.telemetry), last=False)
                result = publishing.publish(result)
    return _report(session, result, reproduce=reproduce_with_spack(result.telemetry))


class _Publishing:
    """Publishing one package: its programs can be made ready while Spack ends. As a context manager it ends what waits."""

    def __init__(self, session: Session, spack: Spack, node: Node, folder: Path) -> None:
        self._session, self._spack, self._node = session, spack, node
        self._unsigned = folder / "unsigned"
        self._packing = session.ahead(spack.pack_argv(), spack.environment(session.environments.build))
        self._sending = sender(session, self._unsigned)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.end()

    @property
    def _programs(self) -> list[Ahead]:
        return [self._packing, *([self._sending] if self._sending else [])]

    def make_ready(self) -> frozenset[int]:
        """Start what packs and what sends, if that has not been done; return their process ids."""
        with contextlib.suppress(OSError):  # whoever needs it tries again, and tells
            return frozenset(program.start() for program in self._programs)
        return frozenset().union(*(program.pids for program in self._programs))

    def publish(self, result: RunResult) -> RunResult:
        """Publish the installed package as the request asks; a failure changes the outcome, never the measurements."""
        session, target = self._session, self._session.request.target
        try:
            waiting = self._sending.pids if self._sending else frozenset()
            word = self._spack.pack_word(self._node, self._unsigned)
            code, printed = session.finish(self._packing, word, spared=waiting)
            if code != 0:
                words = printed.decode("utf-8", "replace").strip()[-500:]
                raise PublishError(f"Spack could not write the binary: {words}")
            if target is None:
                published = telemetry.Publish(state="unpublished", url=self._unsigned.as_uri())
            else:
                published = send(session, self._unsigned, target, self._sending)
                session.log.note(f"{self._node.title}: published to {published.url}")
        except Interrupted as stopped:
            return run.with_outcome(result, Outcome.INTERRUPTED, signal_number=stopped.signal_number)
        except (AgentError, OSError) as error:
            session.log.error(f"{self._node.title}: {error}")
            return run.with_outcome(result, Outcome.PUBLISH_FAILED, published=telemetry.Publish(state="failed"))
        return run.with_outcome(result, result.outcome, published=published)
