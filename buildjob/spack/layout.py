"""Spack's files: what lies where in a checkout, in a configuration scope and in an installed package.

Starts nothing. Written for Spack 1.1, 1.2.
"""

import glob
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from buildjob.errors import SpackError
from buildjob.spack.concrete import ConcreteSpec, Concretization
from buildjob.spack.find import SpackInstallation
from buildjob.spack.mirror_faults import FetchReport, MirrorFault

TARGET_MIRROR = "spack-farm"
"""The name under which Spack knows the build cache that is published to."""


def version_of(installation: SpackInstallation) -> str:
    """Return a Spack's version from its source, without starting it; empty if the source has none. Raises SpackError."""
    init = installation.root / "lib" / "spack" / "spack" / "__init__.py"
    try:
        found = re.search(r'^__version__ = ["\']([^"\']+)', init.read_text(), re.MULTILINE)
    except OSError as error:
        raise SpackError(f"{init}: {error.strerror}; is this a Spack checkout?") from error
    return found[1] if found else ""


def trusted_keys_home(installation: SpackInstallation, variables: Mapping[str, str]) -> Path:
    """Return the GnuPG home in which Spack keeps the keys that it trusts; it need not exist."""
    return Path(variables.get("SPACK_GNUPGHOME") or installation.root / "opt" / "spack" / "gpg")


def mirror_scope(folder: Path, *, url: str, signed: bool, endpoint_url: str = "") -> Path:
    """Write a configuration scope that names one more binary mirror; return it. Only S3 has an `endpoint_url`."""
    folder.mkdir(parents=True, exist_ok=True)
    mirror: dict[str, str | bool] = {"url": url, "signed": signed, "source": False, "binary": True}
    if endpoint_url and url.startswith("s3://"):
        mirror["endpoint_url"] = endpoint_url
    (folder / "mirrors.yaml").write_text(json.dumps({"mirrors": {TARGET_MIRROR: mirror}}) + "\n")
    return folder


def silence_scope(folder: Path, faults: Sequence[MirrorFault]) -> Path:
    """Write a configuration scope that keeps Spack from asking some mirrors for binaries; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    mirrors = {fault.mirror: {"url": fault.url, "binary": False} for fault in faults}
    (folder / "mirrors.yaml").write_text(json.dumps({"mirrors": mirrors}) + "\n")
    return folder


def take_fetch_report(path: Path) -> FetchReport | None:
    """Return what `inside/install.py` reported of a source that Spack could not get, and delete it; None if it got all."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=FetchReport)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:  # cut off: a disk was full
        report = FetchReport(text=str(error))
    path.unlink(missing_ok=True)
    return report


def stage_folder(concretization: Concretization, spec: ConcreteSpec) -> Path:
    """Return the folder in which Spack unpacks and builds a package; it need not exist."""
    return Path(concretization.stage_root) / spec.stage_name


def archived_files(prefix: Path) -> list[tuple[str, Path]]:
    """Return the files that a recipe keeps beside the log, such as config.log, each with its name below a folder.

    Spack copies them into the prefix when a build succeeds; of one that failed see `files_of_stage`.
    """
    root = prefix / ".spack" / "archived-files"
    return [(str(path.relative_to(root)), path) for path in sorted(root.rglob("*")) if path.is_file()]


def files_of_stage(stage: Path, patterns: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the same files of a build that failed: they are still in its stage folder. No link leads out of it."""
    root = stage.resolve()
    # as Spack reads the patterns: `Path.glob` raises an error for some of them, such as `**.log`
    names = dict.fromkeys(name for pattern in patterns for name in sorted(glob.glob(pattern, root_dir=root)))  # noqa: PTH207
    inside = (path for name in names if (path := root / name).is_file() and path.resolve().is_relative_to(root))
    return [(str(path.relative_to(root)), path) for path in inside]
