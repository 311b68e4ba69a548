"""The story of `spack-farm build --reproduce`: show what a run has built, ask, and build the same here.

The commands in its documents are never run: what is run is made here, from the concrete spec, the saved configuration and
variables of an allow-list. Recipes come with the configuration, and so nothing of it starts before the question was
answered. Where the run names its image and a container engine answers, that image builds it, else the Spack here.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent import ci_facts
from buildjob.agent.build import build
from buildjob.agent.reproduction import KEYS
from buildjob.agent.request import BuildRequest
from buildjob.buildcache.gpg.key_source import find_source
from buildjob.ci import container
from buildjob.ci.fetched_artifacts import run_folder_of
from buildjob.errors import RequestError, SpackError
from buildjob.log import Log
from buildjob.process import environments
from buildjob.process.interruption import interrupted_by_signals
from buildjob.report.foreign_text import strip_ansi
from buildjob.run_folder import REPRODUCE, SPEC, TELEMETRY
from buildjob.spack.find import find
from buildjob.spack.layout import version_of
from buildjob.spack.variables import READ_BY_SPACK
from buildjob.telemetry import Telemetry

_LONGEST = 400


def reproduce(request: BuildRequest, log: Log, *, ask: Callable[[str], str] = input) -> int:
    """Build what another run has built; return the exit code. Raises AgentError, RequestError if the answer is no."""
    if log.events.is_live and not request.assume_yes:
        raise RequestError("--json asks nothing: look at the run without it, then give --yes")
    # what was downloaded must not stay; a build within catches signals itself
    with interrupted_by_signals(), tempfile.TemporaryDirectory(prefix="spack-farm-reproduce-") as scratch:
        folder = run_folder_of(request.reproduce, Path(scratch), dag_hash=request.hash, variables=request.variables)
        try:
            document = telemetry.read(folder / TELEMETRY)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RequestError(f"{folder / TELEMETRY}: not a telemetry document: {error}") from error
        require_one_spec(folder, document)
        changing = variables_of(document)
        image = container.image_of(document)
        engine = _engine_for(request, image, log)
        if engine and log.events.is_live:
            raise RequestError(
                f"--json has no events of a build in the job's image: omit it, or give --engine {container.NONE}"
            )
        log.step(f"what {request.reproduce} has built")
        log.plain(describe(document, changing, image=image, engine=engine))
        if not engine:
            _warn_of_versions(request, document, log)
        if not request.assume_yes:
            _confirm(ask, where="in that image" if engine else "here")
        if engine and image:
            given = {**changing, "SPACK_DISABLE_LOCAL_CONFIG": "true"}
            return _build_in_image(request, folder, document, container.argv(engine, image, given, []), log)
        return build(_request_for(request, folder, document, changing), log)


class _Node(msgspec.Struct, frozen=True):
    name: str = ""
    hash: str = ""


class _Nodes(msgspec.Struct, frozen=True):
    nodes: list[_Node]


class _ConcreteSpec(msgspec.Struct, frozen=True):
    """What is read of a concrete spec; its first node is what is to be built."""

    spec: _Nodes


def require_one_spec(folder: Path, document: Telemetry) -> None:
    """Raise RequestError if the concrete spec is not that of the document: what is shown would not be what is built."""
    try:
        root = msgspec.json.decode((folder / SPEC).read_bytes(), type=_ConcreteSpec).spec.nodes[0]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        raise RequestError(f"{folder / SPEC}: not a concrete spec: {error}") from error
    if (root.name, root.hash) != (document.spec.name, document.spec.hash):
        raise RequestError(
            f"{folder / SPEC} is of {_shown(root.name)} /{_shown(root.hash)}, and {TELEMETRY} beside it of "
            f"{_shown(document.spec.name)} /{_shown(document.spec.hash)}: they are not of one run"
        )


def _engine_for(request: BuildRequest, image: container.Image | None, log: Log) -> str:
    """Return the container engine to build with; empty to build with the Spack here."""
    useless = [
        name for name, value in (("--mirror", request.target), ("-C", request.scopes), ("--spack", request.spack)) if value
    ]
    if request.engine in {"", container.NONE} and (useless or request.engine or not image):
        return ""
    if useless:
        raise RequestError(f"{useless[0]} has no effect in the job's image: omit it, or give --engine {container.NONE}")
    if not image:
        raise RequestError(f"--engine {request.engine}: the run does not say which image it was built in")
    engine = container.find_engine(request.engine, request.variables)
    if engine and not image.is_exact:
        log.warning(f"{_shown(image.reference)} has no digest: its tag may name another image than when the job ran")
    return engine


def _build_in_image(request: BuildRequest, folder: Path, document: Telemetry, command: list[str], log: Log) -> int:
    scope, keys = folder / REPRODUCE, folder / REPRODUCE / KEYS
    jobs = request.jobs or document.spec.build_jobs
    words = ["build", f"./{SPEC}", f"--interval={request.interval_seconds:g}s"]
    words += [f"--config-scope=./{REPRODUCE}"] if scope.is_dir() else []
    words += [f"--trust=./{REPRODUCE}/{KEYS}"] if keys.is_file() else []
    words += [f"--jobs={jobs}"] if jobs else []
    words += ["--quiet"] if log.is_quiet else []
    words += [f"--timeout={request.timeout_seconds:g}s"] if request.timeout_seconds else []
    log.step(f"building it with {command[0]}")
    environment = environments.split(request.variables).build
    code, folders = container.build([*command, *words], folder, request.out, environment=environment)
    for each in folders:
        log.note(f"its run folder: {each}")
    return code


def variables_of(document: Telemetry) -> dict[str, str]:
    """Return the variables of a document that are set here: those of the allow-list that change what a build makes."""
    allowed = ci_facts.build_variables(document.reproduce.variables, is_spack=True)
    return {name: value for name, value in allowed.items() if name != "PATH" and name not in READ_BY_SPACK}


def describe(
    document: Telemetry, changing: Mapping[str, str], *, image: container.Image | None = None, engine: str = ""
) -> str:
    """Return what is to be built, for people. Its texts may be foreign: they are cut, and show no control characters."""
    spec, again = document.spec, document.reproduce
    rows = [
        ("spec", f"{spec.name}@{spec.version} /{spec.hash}"),
        ("for", f"{spec.architecture} {spec.compiler}"),
        ("outcome", f"{document.outcome} (exit code {document.exit_code})"),
        ("Spack", f"{document.versions.spack} {again.spack_commit}"),
        ("packages", again.packages_commit),
        ("image", image.reference if image else again.image_digest),
        ("built by", f"{engine}, in that image" if engine else "the Spack here"),
        *((f"${name}", value) for name, value in changing.items()),
    ]
    return "\n".join(f"  {title:<10} {_shown(text)}" for title, text in rows if text.strip())


def _shown(text: str) -> str:
    plain = strip_ansi(text)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in plain)


def _confirm(ask: Callable[[str], str], *, where: str) -> None:
    if not sys.stdin or not sys.stdin.isatty():
        raise RequestError("--reproduce runs recipes that came with the run: look at the above, and give --yes to build it")
    try:
        answer = ask(f"Recipes and settings of that run are used. Build it {where}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise RequestError("nothing was built")


def _warn_of_versions(request: BuildRequest, document: Telemetry, log: Log) -> None:
    try:
        here = version_of(find(request.spack, request.variables, request.paths))
    except SpackError:
        return  # the build will end with it
    if document.versions.spack and here and not document.versions.spack.startswith(here):
        log.warning(f"Spack here is {here}, the run had {_shown(document.versions.spack)}: hashes may differ")


def _request_for(request: BuildRequest, folder: Path, document: Telemetry, changing: Mapping[str, str]) -> BuildRequest:
    scope, keys = folder / REPRODUCE, folder / REPRODUCE / KEYS
    return msgspec.structs.replace(
        request,
        spec_files=[folder / SPEC],
        hash="",
        active_environment=None,
        scopes=[*([scope] if scope.is_dir() else []), *request.scopes],
        trust=[*request.trust, *([find_source(str(keys), "--trust")] if keys.is_file() else [])],
        jobs=request.jobs or document.spec.build_jobs or None,
        variables={
            **{name: value for name, value in request.variables.items() if name != "SPACK_ENV"},
            **changing,
            "SPACK_DISABLE_LOCAL_CONFIG": "true",
        },
    )
