"""What is to be built: Spack's concretization, what the build caches have, and how all of it is logged.

Starts Spack to ask it, installs nothing and builds nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.agent import publish_process
from buildjob.agent.request import BuildRequest
from buildjob.agent.schedule import Schedule
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.errors import AgentError, Interrupted
from buildjob.log import Log
from buildjob.process import environments
from buildjob.process.environments import Environments
from buildjob.run_folder import SPEC
from buildjob.spack.adapter import Spack, install_file_command
from buildjob.spack.concrete import Concretization, Edge, Wanted
from buildjob.spack.find import SpackInstallation
from buildjob.spack.layout import mirror_scope, trusted_keys_home

_LOCAL = ("file://", "/")


class _Lock(msgspec.Struct):
    """What is read of a `spack.lock`."""

    concrete_specs: dict[str, msgspec.Raw] = {}


@contextlib.contextmanager
def trusted(request: BuildRequest, installation: SpackInstallation) -> Iterator[signing.TrustHome | None]:
    """Give a GnuPG home that trusts what Spack trusts, the keys of `--trust`, and the public half of the signing key.

    None if neither option is given: then Spack's own home serves. The secret key does not stay: gpg reads it in a home of
    its own that is deleted before anything is built.
    """
    key = request.target.signing_key_file if request.target else None
    if not request.trust and not key:
        yield None
        return
    with signing.throw_away_home() as folder:
        home = signing.TrustHome(folder)
        spacks = trusted_keys_home(installation, request.variables)
        for source in (*request.trust, key, spacks):
            if source and source.exists():
                home.trust(signing.public_keys(source))
        yield home


def scopes(request: BuildRequest, scratch: Path) -> list[Path]:
    """Return the configuration scopes for Spack, weak ones first; one that names the target is written into `scratch`."""
    active = [request.active_environment] if request.active_environment else []
    if request.target is None:
        return [*active, *request.scopes]
    target = mirror_scope(
        scratch / "scope",
        url=request.target.url,
        signed=request.target.signing_key_file is not None,
        endpoint_url=publish_process.endpoint_url(request.variables),
    )
    return [*active, *request.scopes, target]


def concretize(
    session: Session, spack: Spack, scratch: Path, trust: signing.TrustHome | None
) -> tuple[Concretization, Environments]:
    """Let Spack concretize, and look what is there already.

    Returns the environments as well, split again: Spack's configuration names further variables that hold credentials.
    """
    request = session.request
    folder = scratch / "specs"
    folder.mkdir()
    wanted = Wanted(
        specs=request.specs,
        spec_files=[str(path) for path in request.spec_files],
        environment=request.environment_name,
        hash=request.hash,
        fresh=request.fresh,
    )
    environment = spack.environment(session.environments.build, gpg_home=trust.home if trust else None)
    found = spack.concretize(wanted, folder, environment=environment)
    return found, environments.split(request.variables, mirror_variables=found.secret_variables)


def with_remote_binaries(
    session: Session, spack: Spack, found: Concretization, trust: signing.TrustHome | None
) -> Concretization:
    """Return the concretization with what remote mirrors have. Only the process that asks them gets their credentials."""
    missing = [spec for spec in found.specs if not (spec.is_there or spec.binary == "available" or spec.develop_folders)]
    wanted = [spec for spec in missing if spec.hash not in found.roots]
    if not wanted or all(mirror.url.startswith(_LOCAL) for mirror in found.mirrors):
        return found
    environment = spack.environment(session.environments.fetch, gpg_home=trust.home if trust else None)
    available = spack.lookup(wanted, environment=environment)
    specs = [msgspec.structs.replace(spec, binary="available") if spec.hash in available else spec for spec in found.specs]
    return msgspec.structs.replace(found, specs=specs)


def refresh(session: Session, spack: Spack, found: Concretization, work: Schedule) -> None:
    """Do what `spack install` does beside installing: mark what was asked for, and show in views what is installed.

    Starts Spack only if there is something to do. A failure is a warning: binaries and outcomes stay what they are.
    """
    installed = {spec.hash for spec in (*work.build, *work.fetched)}
    folder = found.environment if found.views == "outdated" or (found.views and installed) else ""
    active = session.request.active_environment
    if active and locked_hashes(active) & installed:
        folder = str(active)
    if session.stop.signal_number or not (folder or found.unmarked):
        return
    try:
        faults = spack.refresh(folder, found.unmarked, environment=spack.environment(session.environments.build))
    except AgentError as error:
        if isinstance(error, Interrupted):
            raise
        faults = [str(error)]
    for fault in faults:
        session.log.warning(f"a view is not up to date: {fault}; run 'spack -e {folder} env view regenerate'")


def locked_hashes(folder: Path) -> frozenset[str]:
    """Return the hashes of all that an environment's lock names; empty if there is none that can be read."""
    try:
        return frozenset(msgspec.json.decode((folder / "spack.lock").read_bytes(), type=_Lock).concrete_specs)
    except (OSError, msgspec.MsgspecError):
        return frozenset()


def prefixes(found: Concretization, edges: Sequence[Edge]) -> tuple[Path, ...]:
    """Return where the dependencies of a spec are installed."""
    hashes = {edge.hash for edge in edges}
    return tuple(Path(spec.prefix) for spec in found.specs if spec.hash in hashes)


def rebuild_commands(found: Concretization, *, jobs: int) -> str:
    """Return the commands that build the same package again, from the concrete spec in the run folder."""
    lines = [
        f"# Spack {found.spack_version}" + (f", commit {found.spack_commit}" if found.spack_commit else ""),
        *([f"# package repository at commit {found.packages_commit}"] if found.packages_commit else []),
        f"# {SPEC} lies beside this page",
        f"spack-farm build -j{jobs} ./{SPEC}",
        "# or with Spack alone:",
        install_file_command(f"./{SPEC}", jobs=jobs),
    ]
    return "\n".join(lines)


def log_schedule(log: Log, found: Concretization, work: Schedule) -> None:
    """Log for each package whether it is there, fetched or built."""
    for sentence in found.external_roots:
        log.note(sentence)
    for spec in found.specs:
        if spec.binary == "untrusted":
            log.warning(f"{spec.title}: a build cache has it, but its signature is not trusted (--trust FILE): it is built")
    for spec in work.nothing:
        log.note(f"{spec.title}: already in the build cache, nothing to build")
    for spec in work.fetched:
        log.note(f"{spec.title}: from the build cache")
    for spec in work.build:
        again = f" again: sources in {' and '.join(spec.develop_folders)} have changed" if spec.outdated else ""
        log.note(f"{spec.title}: to be built{again}")
