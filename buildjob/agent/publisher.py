"""What the publishing of all packages of one call shares: what the target has, and where the rest may be had from.

Asks and decides before anything is built; `publishing` carries it out, package by package.
"""

import errno
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from buildjob.agent import publish_process
from buildjob.agent.schedule import Schedule
from buildjob.agent.session import Session
from buildjob.agent.supply import Supply
from buildjob.buildcache import clearsigned, layout, signing
from buildjob.buildcache.manifest import LARGEST_MANIFEST_BYTES, find, is_whole, parse_manifest
from buildjob.errors import PublishError
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import ConcreteSpec, Concretization, Origin


def _is_present(folder: Path, spec: ConcreteSpec, *, signed: bool) -> bool:
    """Return whether a manifest is there that a client may take; with `signed`, an unsigned one does not count.

    Whose signature it has is not checked: others may trust it. Raises PublishError if that can't be known.
    """
    path = folder / layout.manifest_key(spec.name, spec.version, spec.hash)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe may take for ever
            raise PublishError(f"{path}: not a file; delete it")
        with path.open("rb") as file:
            text = file.read(LARGEST_MANIFEST_BYTES + 1)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            return False
        raise PublishError(f"{path}: {error.strerror}; whether it is published can't be known") from error
    try:
        parse_manifest(text, where=spec.title)
    except PublishError:
        return False
    return clearsigned.is_signed(text) or not signed


def _is_published(folder: Path, spec: ConcreteSpec, trust: signing.TrustHome | None, *, signed: bool) -> bool:
    text = find(folder, spec.name, spec.version, spec.hash)
    if text is None:
        return False
    try:
        if signed and trust:
            text = trust.signed_text(text)
        elif signed:
            return False
        return is_whole(folder, parse_manifest(text, where=spec.title))
    except PublishError:
        return False


def is_withheld(session: Session, spec: ConcreteSpec) -> bool:
    """Return whether it is built from a developer's folder, and the target is not private.

    Its hash does not say what is in the folder: others would take one developer's state for the package.
    """
    return bool(spec.develop_folders) and not session.request.private


class Publisher:
    """What the publishing of all packages of one call shares."""

    def __init__(
        self,
        session: Session,
        spack: Spack,
        found: Concretization,
        *,
        trust: signing.TrustHome | None,
        there: frozenset[str] | None = None,
    ) -> None:
        """Ask the target which packages it has, unless `there` says it.

        Raises AgentError if that fails: what can't be published is not built.
        """
        self.session, self.spack, self.trust = session, spack, trust
        self._found = found
        self._there = self._present() if there is None else there
        self.supply = Supply(found.specs, there=self._there)

    def _present(self) -> frozenset[str]:
        """Return the hashes of the packages whose manifest the target has; whether their blobs are intact is not checked."""
        target = self.session.request.target
        wanted = [spec for spec in self._found.specs if not spec.external]
        if target is None:
            return frozenset()
        if target.folder is None:
            return publish_process.present(self.session.call, target, wanted, variables=self.session.request.variables)
        folder = target.folder
        signed = target.signing_key_file is not None
        return frozenset(spec.hash for spec in wanted if _is_present(folder, spec, signed=signed))

    def published_roots(self) -> frozenset[str]:
        """Return the hashes of the roots whose binary the target has, whole and, if it is signed, well signed.

        A root counts only if what it needs at run time is there, too: otherwise it is published again, with that.
        """
        target = self.session.request.target
        roots = [spec for spec in self._found.specs if spec.hash in self._found.roots and spec.hash in self._there]
        if target is None or not roots:
            return frozenset()
        if not self.session.request.allow_missing:
            if target.folder is not None:
                # disks rot; of S3, `publish verify` is for that
                needed = self.supply.run_time_dependencies(roots)
                there = [spec for spec in needed if spec.hash in self._there]
                self.supply.damaged(
                    spec.hash for spec in there if not _is_published(target.folder, spec, None, signed=False)
                )
            if self._is_lenient:
                self.learn_origins(self.supply.missing(roots))
                roots = [spec for spec in roots if not self.supply.needs(spec).brought]
            else:
                self._ask_recipes(self.supply.missing(roots))
                roots = [spec for spec in roots if not self.supply.missing([spec])]
        if target.folder is None:
            call, variables = self.session.call, self.session.request.variables
            return publish_process.published(call, target, roots, trust=self.trust, variables=variables)
        folder, signed = target.folder, target.signing_key_file is not None
        return frozenset(spec.hash for spec in roots if _is_published(folder, spec, self.trust, signed=signed))

    def plan(self, work: Schedule) -> dict[str, str]:
        """Find out, before anything is built, where that may be had from which has to be published with the packages.

        Returns which roots to be built can't be published, by hash, and why.
        """
        built = {spec.hash for spec in work.build}
        self.learn_origins([*self.supply.missing([*work.build, *work.publish_only], built=built), *work.publish_only])
        roots = [spec for spec in work.build if spec.hash in self._found.roots and not is_withheld(self.session, spec)]
        return {spec.hash: fault for spec in roots if (fault := self.fault(spec, built=built))}

    def learn_origins(self, missing: Sequence[ConcreteSpec]) -> None:
        """Find out where the binaries of packages that this call does not build may be had from, to be published."""
        target, supply = self.session.request.target, self.supply
        if target is None or not missing:
            return
        home = self.trust.home if self.trust else None
        environment = self.spack.environment(self.session.environments.fetch, gpg_home=home)
        origins = self.spack.origins(missing, environment=environment)
        if home is None:  # Spack may trust it, but what is copied is checked here as well
            unchecked = Origin(kind="none", reason="there is no key to check its signature with (--trust)")
            origins = {dag_hash: unchecked if origin.kind == "mirror" else origin for dag_hash, origin in origins.items()}
        supply.learn(origins)
        self._ask_recipes([spec for spec in missing if origins[spec.hash].kind == "none"])

    def _ask_recipes(self, specs: Sequence[ConcreteSpec]) -> None:
        """Find out which of these must not be redistributed: they are then not waited for."""
        if specs and not self.session.request.private:
            environment = self.spack.environment(self.session.environments.build)
            said = self.spack.redistribution([spec.spec_file for spec in specs], environment=environment)
            self.supply.learn({}, not_redistributable=said.not_redistributable)

    def fault(self, spec: ConcreteSpec, *, built: Collection[str] = ()) -> str:
        """Return why a package can't be published so that the target can serve it; empty if it can.

        What is to be `built` is published before.
        """
        target = self.session.request.target
        return self.supply.fault(spec, target.url, built=built) if target and not self._is_lenient else ""

    @property
    def _is_lenient(self) -> bool:
        """Whether a package is published also without what it needs: who takes unsigned binaries has them from anywhere."""
        target = self.session.request.target
        return self.session.request.allow_missing or target is None or target.signing_key_file is None
