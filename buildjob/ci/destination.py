"""Decides where a job's binary goes, who signs it, and under which names CDash keeps the build. Pure."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from buildjob.agent.request import Target
from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.ci.job import CIJob
from buildjob.errors import RequestError
from buildjob.report.cdash_names import CDashNames
from buildjob.spack.ci_answer import CDashSection, Destination
from buildjob.spack.mirror_faults import MirrorFault

NAME = "buildcache-destination"
"""The mirror's name in Spack's configuration."""
_OF_A_VARIABLE = re.compile(r"[a-z][a-z0-9+.-]+:|\$.*", re.DOTALL)
"""Part of a path that was a variable: what it held begins with a scheme, or it was not set."""


def target_of(destination: Destination, key: KeySource | None, passphrase: KeySource | None) -> Target:
    """Return the target that Spack's configuration names. Raises RequestError for storage that we do not write to."""
    url = urlsplit(destination.url)
    if url.scheme == "file":
        folder = Path(unquote(url.path))
        # Spack expands variables after it has looked for a scheme: the folder would be lost with the job's container
        if any(_OF_A_VARIABLE.fullmatch(part) for part in PurePosixPath(folder).parts):
            raise RequestError(
                f"mirror {NAME}: {folder}: in a mirror's url Spack takes a variable for a folder, whatever it holds; "
                f"write the address itself there: spack -e ENV mirror set --url URL {NAME}"
            )
        return Target(url=folder.as_uri(), folder=folder, signing_key_file=key, passphrase_file=passphrase)
    if url.scheme == "s3" and url.netloc:
        return Target(url=destination.url.rstrip("/"), folder=None, signing_key_file=key, passphrase_file=passphrase)
    raise RequestError(
        f"mirror {NAME}: {destination.url}: --ci pushes to s3://BUCKET/PREFIX, a folder or a file:// URL; "
        "for other storage keep 'spack ci rebuild'"
    )


def with_access(destination: Destination, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which our own S3 client reaches what Spack reaches by its configuration.

    Raises RequestError if one is not set that the configuration names.
    """
    named = {
        "AWS_ACCESS_KEY_ID": destination.id_variable,
        "AWS_SECRET_ACCESS_KEY": destination.secret_variable,
        "AWS_SESSION_TOKEN": destination.token_variable,
    }
    absent = [name for name in named.values() if name and not variables.get(name)]
    if absent and destination.url.startswith("s3://"):
        are_not_set = "which is not set" if len(absent) == 1 else "which are not set"
        raise RequestError(
            f"mirror {NAME}: its configuration takes credentials from {' and '.join(absent)}, "
            f"{are_not_set}; a protected variable is set on protected branches only"
        )
    changed = dict(variables)
    if destination.secret_variable:
        changed.pop("AWS_SESSION_TOKEN", None)  # it belongs to the other key
        if destination.id:
            changed["AWS_ACCESS_KEY_ID"] = destination.id
    changed |= {ours: variables[name] for ours, name in named.items() if name and name in variables}
    if destination.endpoint_url:
        changed["SPACK_FARM_PUBLISH_ENDPOINT_URL"] = destination.endpoint_url
    if destination.profile:
        changed["AWS_PROFILE"] = destination.profile
    return changed


def lost(faults: Iterable[MirrorFault]) -> MirrorFault | None:
    """Return why nothing can be pushed to the destination; None if it answered as a build cache does, or was not asked.

    A folder that is missing is made by the first push, a bucket is not.
    """
    of_it = (fault for fault in faults if fault.mirror == NAME)
    return next((fault for fault in of_it if fault.is_silent or fault.kind == "no_bucket"), None)


def cdash_names(section: CDashSection, job: CIJob, given: CDashNames, *, runner: str) -> CDashNames:
    """Return the names under which CDash keeps the build: those of the pipeline, where Spack's configuration has CDash."""
    if not section.group:
        return given
    site = f"{section.site} ({runner})" if section.site and runner else section.site or given.site
    return CDashNames(site=site, group=section.group, build_name=job.cdash_build_name, build_stamp=job.cdash_build_stamp)
