"""What is to be built: Spack's plan, what the build caches have, and what is on the mirror already.

Starts Spack to ask it, installs nothing and builds nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buildjob.agent import publish_process
from buildjob.agent.request import BuildRequest
from buildjob.agent.schedule import Schedule
from buildjob.agent.session import Session
from buildjob.buildcache import signing
from buildjob.log import Log
from buildjob.process import environments
from buildjob.run_folder import SPEC
from buildjob.spack.adapter import Spack, install_file_command
from buildjob.spack.concrete import Plan, Wanted
from buildjob.spack.find import SpackInstallation
from buildjob.spack.layout import mirror_scope, trusted_keys_home


@contextlib.contextmanager
def trusted(session: Session, installation: SpackInstallation) -> Iterator[signing.TrustHome | None]:
    """Give a GnuPG home that trusts what Spack trusts, the keys named by `--trust`, and the public half of the signing key.

    None if neither is given: then Spack's own home serves. The secret key does not stay: gpg reads it in a home of its own
    that is deleted before anything is built.
    """
    request = session.request
    key = request.target.signing_key_file if request.target else None
    if not request.trust and not key:
        yield None
        return
    with signing.throw_away_home() as folder:
        home = signing.TrustHome(folder)
        spacks = trusted_keys_home(installation, request.variables)
        sources = [path for path in (*request.trust, key, spacks) if path and path.exists()]
        for source in sources:
            home.trust(signing.public_keys(source))
        yield home


def scopes(request: BuildRequest, scratch: Path) -> list[Path]:
    """Return the configuration scopes for Spack, weak ones first; one that names the target mirror is written here."""
    active = [request.active_environment] if request.active_environment else []
    if request.target is None:
        return [*active, *request.scopes]
    mirror = mirror_scope(
        scratch / "scope",
        url=request.target.url,
        signed=request.target.signing_key_file is not None,
        endpoint_url=publish_process.endpoint_url(request.variables),
    )
    return [*active, *request.scopes, mirror]


def make_plan(
    session: Session, spack: Spack, scratch: Path, trust: signing.TrustHome | None
) -> tuple[Plan, environments.Environments]:
    """Let Spack concretize and say what is where.

    Returns the plan, and the environments split anew: Spack's configuration names the variables with mirrors' credentials.
    """
    request = session.request
    specs = scratch / "specs"
    specs.mkdir()
    wanted = Wanted(
        specs=request.specs,
        spec_files=[str(path) for path in request.spec_files],
        environment=request.environment_name,
        hash=request.hash,
        fresh=request.fresh,
    )
    environment = spack.environment(session.environments.build, gpg_home=trust.home if trust else None)
    plan = spack.plan(wanted, specs, environment=environment)
    return plan, environments.split(request.variables, mirror_variables=plan.secret_variables)


def with_remote_binaries(session: Session, spack: Spack, plan: Plan, trust: signing.TrustHome | None) -> Plan:
    """Return the plan with what remote mirrors have. A process of its own asks them: only it gets their credentials."""
    missing = [node for node in plan.nodes if not (node.external or node.installed or node.binary == "available")]
    wanted = [node for node in missing if node.hash not in plan.roots]
    if not wanted or all(mirror.url.startswith(("file://", "/")) for mirror in plan.mirrors):
        return plan
    environment = spack.environment(session.environments.fetch, gpg_home=trust.home if trust else None)
    found = spack.lookup(wanted, environment=environment)
    nodes = [msgspec.structs.replace(node, binary="available") if node.hash in found else node for node in plan.nodes]
    return msgspec.structs.replace(plan, nodes=nodes)


def rebuild_commands(plan: Plan, *, jobs: int) -> str:
    """Return the commands that build the same package again, from the concrete spec in the run folder."""
    lines = [
        f"# Spack {plan.spack_version}" + (f", commit {plan.spack_commit}" if plan.spack_commit else ""),
        *([f"# package repository at commit {plan.packages_commit}"] if plan.packages_commit else []),
        f"# {SPEC} lies beside this page",
        f"spack-farm build -j{jobs} ./{SPEC}",
        "# or with Spack alone:",
        install_file_command(f"./{SPEC}", jobs=jobs),
    ]
    return "\n".join(lines)


def tell(log: Log, plan: Plan, work: Schedule) -> None:
    """Say of each package whether it is there, fetched or built."""
    for sentence in plan.external_roots:
        log.note(sentence)
    for node in plan.nodes:
        if node.binary == "untrusted":
            log.warning(f"{node.title}: a build cache has it, but its signature is not trusted (--trust FILE): it is built")
    for node in work.there:
        log.note(f"{node.title}: already on the mirror, nothing to build")
    for node in work.fetch:
        log.note(f"{node.title}: from the build cache")
    for node in work.build:
        log.note(f"{node.title}: to be built")
