"""The story of `spack-farm build --reproduce`: show what a run has built, ask, and build the same here.

The commands in its documents are never run: what is run is made here, from the concrete spec, the saved configuration and
variables of an allow-list. Recipes come with the configuration, and so nothing starts before the question was answered.
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
from buildjob.ci.fetched_artifacts import run_folder_of
from buildjob.errors import RequestError, SpackError
from buildjob.log import Log
from buildjob.report.foreign_text import strip_ansi
from buildjob.run_folder import REPRODUCE, SPEC, TELEMETRY
from buildjob.spack.find import find
from buildjob.spack.layout import version_of
from buildjob.spack.variables import READ_BY_SPACK
from buildjob.telemetry import Telemetry

_LONGEST = 400


def reproduce(request: BuildRequest, log: Log, *, ask: Callable[[str], str] = input) -> int:
    """Build what another run has built; return the exit code. Raises AgentError, RequestError if the answer is no."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-reproduce-") as scratch:
        folder = run_folder_of(request.reproduce, Path(scratch), dag_hash=request.hash, variables=request.variables)
        try:
            document = telemetry.read(folder / TELEMETRY)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RequestError(f"{folder / TELEMETRY}: not a telemetry document: {error}") from error
        changing = variables_of(document)
        log.step(f"what {request.reproduce} has built")
        log.plain(describe(document, changing))
        _warn_of_versions(request, document, log)
        if not request.assume_yes:
            _confirm(ask)
        return build(_request_for(request, folder, document, changing), log)


def variables_of(document: Telemetry) -> dict[str, str]:
    """Return the variables of a document that are set here: those of the allow-list that change what a build makes."""
    allowed = ci_facts.build_variables(document.reproduce.variables, is_spack=True)
    return {name: value for name, value in allowed.items() if name != "PATH" and name not in READ_BY_SPACK}


def describe(document: Telemetry, changing: Mapping[str, str]) -> str:
    """Return what is to be built, for people. Its texts may be foreign: they are cut, and show no control characters."""
    spec, again = document.spec, document.reproduce
    rows = [
        ("spec", f"{spec.name}@{spec.version} /{spec.hash}"),
        ("for", f"{spec.architecture} {spec.compiler}"),
        ("outcome", f"{document.outcome} (exit code {document.exit_code})"),
        ("Spack", f"{document.versions.spack} {again.spack_commit}"),
        ("packages", again.packages_commit),
        ("image", again.image_digest),
        *((f"${name}", value) for name, value in changing.items()),
    ]
    return "\n".join(f"  {title:<10} {_shown(text)}" for title, text in rows if text.strip())


def _shown(text: str) -> str:
    plain = strip_ansi(text)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in plain)


def _confirm(ask: Callable[[str], str]) -> None:
    if not sys.stdin or not sys.stdin.isatty():
        raise RequestError("--reproduce runs recipes that came with the run: look at the above, and give --yes to build it")
    try:
        answer = ask("Recipes and settings of that run are used. Build it here? [y/N] ")
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
