"""A laboratory for real packages: spack-packages' own recipes, the machine's own compiler and tools, no network.

The environments below `environment/` and `many/` are built from their locks. A lock holds the versions of the externals that
it was made with, so it fits machines that have the same ones; `differences` names the others.
"""

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from buildjob.spack.find import SpackInstallation
from tests.labs.checkout import ROOT, load_script
from tests.labs.spack.lab import SpackLab

ENVIRONMENT, MANY = (Path(__file__).parent / name for name in ("environment", "many"))
"""Few packages of all kinds, for tests; many small ones, for sizes."""
REPOSITORY = Path("spack-packages") / "repos" / "spack_repo" / "builtin"
"""Below the folder that holds Spack: where scripts/get-spack puts the package repository."""
_VERSION = r"\d+(?:\.\d+)+"
# Spack's name -> how to ask the program for its version, and the variants that Debian's build of it has
_TOOLS = {
    "cmake": (("cmake", "--version"), ""),
    "pkgconf": (("pkgconf", "--version"), ""),
    "perl": (("perl", "-e", "printf '%vd', $^V"), "~cpanm+opcode+open+shared+threads"),
    "diffutils": (("diff", "--version"), ""),
    # not a Python of pyenv's or a virtual environment's, which `python3` may well be
    "python": (
        ("/usr/bin/python3", "--version"),
        "+bz2+crypt+ctypes+dbm+lzma+pyexpat+pythoncmd+readline+sqlite3+ssl+tix+tkinter+uuid+zlib",
    ),
}


class Node(msgspec.Struct):
    """The part of a lock's node that differs from machine to machine."""

    name: str
    version: str
    arch: dict[str, Any]
    external: dict[str, Any] | None = None


class Lock(msgspec.Struct):
    """The part of a lock that is read here."""

    concrete_specs: dict[str, Node]


def read_lock(environment: Path = ENVIRONMENT) -> Lock:
    """Return the committed lock of an environment."""
    return msgspec.json.decode((environment / "spack.lock").read_bytes(), type=Lock)


class RealLab(SpackLab):
    """One prepared folder for real packages, and how to run the agent and stock Spack in it."""

    def __init__(
        self,
        folder: Path,
        spack: SpackInstallation,
        *,
        sources: Path,
        environment: Path = ENVIRONMENT,
        installer: str = "",
    ) -> None:
        """Prepare the folder; `installer` as for any laboratory."""
        self._sources = sources
        self._locked = environment
        # What Spack derives from its 8,000 recipes costs a minute of CPU, and is the same for every run.
        self.misc_cache = sources.parent / "real-packages" / spack.root.parent.name
        super().__init__(folder, spack, installer=installer)
        self.environment_folder = folder / "environment"
        shutil.copytree(environment, self.environment_folder)

    def hash_of(self, name: str) -> str:
        """Return the DAG hash of a package of the environment."""
        nodes = read_lock(self._locked).concrete_specs
        return next(dag_hash for dag_hash, node in nodes.items() if node.name == name)

    def _prepare(self) -> Path:
        prepare = load_script(ROOT / "examples" / "prepare.py")
        content: dict[str, Any] = prepare.configuration(self.folder, {})
        content["config.yaml"]["config"]["misc_cache"] = str(self.misc_cache)
        content["repos.yaml"] = {"repos:": {"builtin": str(self.spack.root.parent / REPOSITORY)}}
        content["mirrors.yaml"] = {"mirrors:": {"sources": {"url": str(self._sources), "source": True, "binary": False}}}
        content["packages.yaml"] = {"packages": externals()}
        scope, bootstrap = self.folder / "conf", self.folder / "bootstrap" / "config"
        for place in (scope, bootstrap):
            place.mkdir(parents=True)
        for name, text in content.items():
            (scope / name).write_text(json.dumps(text, indent=2) + "\n")
        shutil.copy(scope / "packages.yaml", bootstrap)  # why: see examples/prepare.py
        return scope


def externals() -> dict[str, Any]:
    """Return the `packages` section for this machine's gcc, make and further tools; missing ones are omitted."""
    found: dict[str, Any] = load_script(ROOT / "examples" / "prepare.py").externals()
    for name, (argv, variants) in _TOOLS.items():
        program = shutil.which(argv[0])
        if not program:
            continue
        output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        version = re.search(_VERSION, output)
        assert version, output
        external = {"spec": f"{name}@{version[0]}{variants}", "prefix": str(Path(program).parents[1])}
        found[name] = {"externals": [external], "buildable": False}
    return found


def differences(here: Mapping[str, str] | None = None, *, environment: Path = ENVIRONMENT) -> list[str]:
    """Return a line for each version in the lock that this machine lacks, with both versions; empty if the lock fits.

    `here` is `machine()` by default.
    """
    nodes = list(read_lock(environment).concrete_specs.values())
    here = machine() if here is None else here
    wanted = {node.name: f"{node.version} below {node.external['path']}" for node in nodes if node.external}
    wanted["system"] = next(node.arch["platform_os"] for node in nodes)
    wanted["processor"] = "x86_64"
    return [
        f"the lock was made with {name} {version}, this machine has {here.get(name, 'none')}"
        for name, version in sorted(wanted.items())
        if here.get(name) != version
    ]


def machine() -> dict[str, str]:
    """Return the versions of this machine's externals, in the form that `differences` compares."""
    here = {"processor": platform.machine(), "glibc": f"{platform.libc_ver()[1]} below /usr"}
    release = platform.freedesktop_os_release()
    here["system"] = release["ID"] + release.get("VERSION_ID", "").partition(".")[0]
    for name, section in externals().items():
        for external in section.get("externals", ()) if isinstance(section, dict) else ():
            version = re.search(_VERSION, external["spec"])
            here[name] = f"{version[0] if version else '?'} below {external['prefix']}"
    return here
