"""What recipes say of the binaries in a folder: which of them must not be redistributed.

A manifest that our agent wrote may say it. Of the others a Spack is asked, if there is one: in a process that has no
credentials, since recipes are code.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from buildjob import options
from buildjob.buildcache import documents, layout
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.push import Redistribution
from buildjob.cli.publish_options import Arguments
from buildjob.errors import AgentError, RequestError, SpackError
from buildjob.log import Log
from buildjob.paths import from_environment
from buildjob.process import environments
from buildjob.report.format import format_count
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import Redistribution as Recipes
from buildjob.spack.find import SpackInstallation, find


def redistribution(arguments: Arguments, folder: Path, log: Log) -> Redistribution:
    """Return what is known of the binaries in a folder that Spack wrote. Raises SpackError if `--spack` names none."""
    if arguments.prestarted:  # for the agent, which has asked
        return Redistribution(private=arguments.private)
    variables = options.environment()
    spack = _find(arguments, variables)
    with tempfile.TemporaryDirectory(prefix="spack-farm-specs-") as scratch:
        files = _silent_specs(folder, Path(scratch)) if spack or arguments.private else []
        if not files or spack is None:
            return Redistribution(private=arguments.private, is_known=not files)
        try:
            said = _ask(spack, arguments, files, variables)
        except AgentError as error:
            if arguments.spack:
                raise
            log.warning(f"whether the binaries may be redistributed was not checked: {error}")
            return Redistribution(private=arguments.private, is_known=False)
    if said.unknown and not arguments.private:
        binaries = format_count(len(said.unknown), "binary", "binaries")
        log.note(f"of {binaries} {spack.found} has no recipe that says about redistribution")
    # on a private build cache, what is in doubt gets a manifest that keeps it there
    doubtful = said.unknown if arguments.private else []
    return Redistribution(private=arguments.private, forbidden=frozenset([*said.not_redistributable, *doubtful]))


def _find(arguments: Arguments, variables: Mapping[str, str]) -> SpackInstallation | None:
    """Return the Spack that is named or in use, if any; one that only lies in the user's cache is neither."""
    is_in_use = variables.get("SPACK_ROOT") or shutil.which("spack", path=variables.get("PATH", os.defpath))
    if not arguments.spack and not is_in_use:
        return None
    try:
        return find(arguments.spack or "", variables, from_environment(variables))
    except SpackError:
        if arguments.spack:
            raise
        return None


def _silent_specs(folder: Path, scratch: Path) -> list[str]:
    """Write the concrete specs of the binaries whose manifests say nothing; return the files. Raises PublishError."""
    files = []
    for path in sorted(folder.glob(f"{layout.SPECS}*/*{layout.MANIFEST_END}")):
        manifest = parse_manifest(path.read_bytes(), where=str(path))
        if manifest.not_redistributable is None:
            blob = folder / documents.spec_blob(manifest, where=str(path)).relative_path
            if blob.exists():  # what is missing is reported when the folder is read to be pushed
                file = scratch / f"{layout.hash_of(path.name)}.json"
                file.write_bytes(documents.unpacked(blob.read_bytes(), where=str(blob)))
                files.append(str(file))
    return files


def _ask(spack: SpackInstallation, arguments: Arguments, files: list[str], variables: Mapping[str, str]) -> Recipes:
    """Ask Spack, which sees no credential meanwhile. Raises AgentError."""
    scopes = [Path(text) for text in arguments.config_scope or []]
    for scope in scopes:
        if not scope.is_dir():
            raise RequestError(f"--config-scope {scope}: there is no such folder")
    split = environments.split(variables)
    environments.forget(split.secret_names)
    try:
        return Spack(spack, call=_call, scopes=scopes).redistribution(files, environment=split.build)
    finally:
        options.take_on({name: variables[name] for name in split.secret_names})


def _call(argv: list[str], environment: Mapping[str, str]) -> tuple[int, bytes]:
    done = subprocess.run(
        argv, env=dict(environment), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.returncode, done.stdout
