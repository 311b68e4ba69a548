"""What is to be built: Spack's concretization, what the build caches have, and how all of it is logged.

Starts Spack to ask it, installs nothing and builds nothing.
"""

import contextlib
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.agent import ci_facts, publish_process
from buildjob.agent.folding import folded
from buildjob.agent.reproduction import Reproduction
from buildjob.agent.request import BuildRequest
from buildjob.agent.schedule import Schedule
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.errors import AgentError, FetchError, Interrupted, RequestError
from buildjob.log import Log
from buildjob.process import environments
from buildjob.process.environments import Environments
from buildjob.report.format import format_seconds
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import ConcreteSpec, Concretization, Edge, Wanted
from buildjob.spack.find import SpackInstallation
from buildjob.spack.layout import TARGET_MIRROR, mirror_scope, trusted_keys_home
from buildjob.spack.mirror_faults import silent_fault

_LOCAL = ("file://", "/")
_SOON_SECONDS = 24 * 3600.0
_MANY = 8


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
    if not request.trust and key is None:
        yield None
        return
    with signing.throw_away_home(is_watched=False) as folder:
        home = signing.TrustHome(folder)
        for source in request.trust:
            home.trust(signing.public_keys(source.content, title=source.title, secret_allowed=False))
        if key:
            home.trust(signing.public_keys(key.content, title=key.title))
        spacks = trusted_keys_home(installation, request.variables)
        if spacks.exists():
            home.trust(signing.public_keys(spacks))
        yield home


def check_signing_key(request: BuildRequest, log: Log, *, now: float) -> None:
    """Sign a test text with the key that will sign the binaries. Raises RequestError if that fails: nothing is built."""
    if request.target is None or request.target.signing_key_file is None:
        return
    expires_at = signing.check(request.target.signing_key_file, request.target.passphrase_file)
    if expires_at is None or expires_at > now + _SOON_SECONDS:
        return
    key = request.target.signing_key_file.title
    left = max(expires_at - now, 0.0)
    if request.timeout_seconds is not None and left < request.timeout_seconds:
        raise RequestError(f"{key}: the key expires in {format_seconds(left)}, before --timeout has passed; renew it first")
    log.warning(f"{key}: the key expires in {format_seconds(left)}; a binary that is built later can't be signed")


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
    Raises FetchError if a mirror does not answer without which the answer means nothing.
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
    fault = silent_fault(
        found.mirror_faults,
        target=TARGET_MIRROR if request.target else "",
        others=[mirror.name for mirror in found.mirrors],
        index_asked=found.index_asked,
    )
    if fault:
        raise FetchError(f"{fault.sentence}. Planning needs it; {fault.advice}")
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
    silent = [fault.mirror for fault in found.mirror_faults if fault.is_silent]
    answer = spack.lookup(wanted, silent=silent, environment=environment)
    specs = [
        msgspec.structs.replace(spec, binary="available") if spec.hash in answer.available else spec for spec in found.specs
    ]
    # of a mirror that both have asked, the later answer says more
    faults = {fault.mirror: fault for fault in (*found.mirror_faults, *answer.mirror_faults)}
    return msgspec.structs.replace(found, specs=specs, mirror_faults=list(faults.values()))


def check_sources(log: Log, found: Concretization, work: Schedule) -> None:
    """Log what is wrong with mirrors that are not needed.

    Raises FetchError if one that does not answer may have what would be built from source, RequestError if Spack can never
    get a source.
    """
    reject_unfetchable(work.build)
    dependencies = [spec for spec in work.build if spec.hash not in found.roots]
    for fault in found.mirror_faults:
        if fault.mirror == TARGET_MIRROR and fault.kind == "no_folder":
            continue  # the first binary makes it
        if fault.is_silent and dependencies:
            raise FetchError(
                f"{fault.sentence}. It may have {dependencies[0].title}, which would be built from source here; "
                f"{fault.advice}, or take the mirror out of mirrors.yaml"
            )
        log.warning(f"{fault.sentence}{'. Nothing of it is needed here' if fault.is_silent else ''}; {fault.advice}")


def reject_unfetchable(specs: Sequence[ConcreteSpec]) -> None:
    """Raise RequestError if Spack can never get the source of one of them."""
    for spec in specs:
        if spec.unfetchable:
            raise RequestError(f"{spec.title}: {spec.unfetchable}")


def fetch_failure(
    session: Session, spack: Spack, specs: Sequence[ConcreteSpec], printed: bytes, trust: signing.TrustHome | None
) -> FetchError:
    """Return why packages could not be installed from the build caches: Spack does not say, so the mirrors are asked."""
    environment = spack.environment(session.environments.fetch, gpg_home=trust.home if trust else None)
    answer = spack.lookup(specs, read=True, environment=environment)
    reasons = [f"{fault.sentence}; {fault.advice}" for fault in answer.mirror_faults]
    lines = printed.decode("utf-8", "replace").strip().splitlines()[-5:]
    return FetchError("a dependency could not be installed from the build cache: " + " | ".join(reasons or lines))


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


def named_by(found: Concretization, edges: Sequence[Edge]) -> tuple[ConcreteSpec, ...]:
    """Return the dependencies that edges lead to."""
    hashes = {edge.hash for edge in edges}
    return tuple(spec for spec in found.specs if spec.hash in hashes)


def reproduction(
    session: Session, installation: SpackInstallation, found: Concretization, trust: signing.TrustHome | None
) -> Reproduction:
    """Return how the packages of this call can be built again."""
    keys = b""
    if any(mirror.signed for mirror in found.mirrors):
        home = trust.home if trust else trusted_keys_home(installation, session.request.variables)
        # keys that cannot be read are missed by who repeats the build, not by the build
        with contextlib.suppress(AgentError, OSError):
            keys = signing.public_keys(home) if home.exists() else b""
    build = session.environments.build
    return Reproduction(
        found=found,
        installation=installation,
        variables=build,
        changing=ci_facts.build_variables(build, is_spack=True),
        jobs=session.request.jobs or found.build_jobs,
        host=platform.node(),
        keys=keys,
        secret_values=session.environments.secret_values,
    )


def log_schedule(session: Session, found: Concretization, work: Schedule) -> None:
    """Log for each package whether it is there, fetched or built; many of them in a section of their own."""
    log = session.log
    for sentence in found.external_roots:
        log.note(sentence)
    for spec in found.specs:
        if spec.binary == "untrusted":
            log.warning(f"{spec.title}: a build cache has it, but its signature is not trusted (--trust FILE): it is built")
    notes = [f"{spec.title}: already in the build cache, nothing to build" for spec in work.nothing]
    notes += [f"{spec.title}: from the build cache" for spec in work.fetched]
    for spec in work.build:
        again = f" again: files in {' or '.join(spec.develop_folders)} have changed" if spec.outdated else ""
        notes.append(f"{spec.title}: to be built{again}")
    counts = f"{len(work.build)} to be built, {len(work.fetched)} from the build cache, {len(work.nothing)} there already"
    with folded(session, counts, "plan") if session.request.folds and len(notes) > _MANY else contextlib.nullcontext():
        for note in notes:
            log.note(note)
