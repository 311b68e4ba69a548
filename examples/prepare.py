"""Makes the bundled examples buildable below one folder: a Spack configuration scope, a source mirror, no network.

    python examples/prepare.py FOLDER        then: spack-farm build -C FOLDER/conf hello-app

Writes FOLDER/conf (to be given to Spack with `-C`) and FOLDER/sources. Everything that Spack then installs, stages and
caches lies below FOLDER too. Knows nothing of spack-farm; needs Python only.
Source of the rules: Spack v1.1 documentation, "Configuration Files", "Mirrors"; `builtin_mock` ships with Spack itself.
"""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent


def main() -> int:
    """Prepare the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"usage: {sys.argv[0]} FOLDER\n")
        return 2
    sys.stdout.write(f"{prepare(Path(sys.argv[1]).resolve())}\n")
    return 0


def prepare(folder: Path, *, repos: dict[str, Path] | None = None, sources: tuple[Path, ...] = ()) -> Path:
    """Write configuration and source mirror below `folder`; return the configuration scope.

    `repos` (name -> folder) and `sources` (folders named NAME-VERSION) join the bundled ones. Repeatable.
    """
    mirror = folder / "sources"
    for source in (*sorted((EXAMPLES / "sources").iterdir()), *sources):
        add_source(mirror, source)
    scope = folder / "conf"
    scope.mkdir(parents=True, exist_ok=True)
    packages = {"packages": externals()}
    for name, content in configuration(folder, repos or {}).items():
        (scope / name).write_text(json.dumps(content, indent=2) + "\n")  # JSON is YAML
    (scope / "packages.yaml").write_text(json.dumps(packages, indent=2) + "\n")
    # Spack's first use of gpg looks for compilers with the default repositories, and would clone them from the net,
    # unless its bootstrap configuration knows the compiler already.
    bootstrap = folder / "bootstrap" / "config"
    bootstrap.mkdir(parents=True, exist_ok=True)
    (bootstrap / "packages.yaml").write_text(json.dumps(packages, indent=2) + "\n")
    return scope


def configuration(folder: Path, repos: dict[str, Path]) -> dict[str, object]:
    """Return file name -> content of the scope; a key ending in `:` (YAML: `repos::`) replaces weaker scopes."""
    return {
        "config.yaml": {
            "config": {
                "install_tree": {"root": str(folder / "opt")},
                "build_stage": [str(folder / "stage")],
                "source_cache": str(folder / "source_cache"),
                "misc_cache": str(folder / "misc_cache"),
                "environments_root": str(folder / "environments"),
                "connect_timeout": 5,
            }
        },
        # not "enable: false": that silently breaks every use of gpg, the check of signatures included
        "bootstrap.yaml": {"bootstrap": {"enable": True, "root": str(folder / "bootstrap"), "sources:": [], "trusted:": {}}},
        "repos.yaml": {
            "repos:": {
                **{name: str(path) for name, path in repos.items()},
                "spack_farm_examples": str(EXAMPLES / "spack_repo" / "spack_farm_examples"),
                "builtin_mock": "$spack/var/spack/test_repos/spack_repo/builtin_mock",
            }
        },
        "mirrors.yaml": {"mirrors:": {"sources": {"url": str(folder / "sources"), "source": True, "binary": False}}},
        "concretizer.yaml": {"concretizer": {"reuse": True, "targets": {"granularity": "generic", "host_compatible": True}}},
    }


def externals() -> dict[str, object]:
    """Return the `packages` section: the machine's gcc and make as they are."""
    gcc, gxx, make = shutil.which("gcc"), shutil.which("g++"), shutil.which("make")
    if not gcc or not make:
        sys.exit("examples/prepare.py: gcc and make are needed; on Debian: apt-get install gcc make")
    version = said(gcc, "-dumpfullversion")
    compilers = {"c": gcc} | ({"cxx": gxx} if gxx else {})
    languages = "c,c++" if gxx else "c"
    found = re.search(r"\d+(\.\d+)+", said(make, "--version"))
    external: dict[str, object] = {
        "gcc": {
            "externals": [
                {
                    "spec": f"gcc@{version} languages:='{languages}'",
                    "prefix": str(Path(gcc).parents[1]),
                    "extra_attributes": {"compilers": compilers},
                }
            ],
            "buildable": False,
        },
        "gmake": {
            "externals": [{"spec": f"gmake@{found[0] if found else '4.3'}", "prefix": str(Path(make).parents[1])}],
            "buildable": False,
        },
    }
    return external | {language: {"require": ["gcc"]} for language in ("c", "cxx")}


def said(*argv: str) -> str:
    """Return what a program prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def add_source(mirror: Path, source: Path) -> str:
    """Pack a source folder into the mirror; return the archive's sha256, which its recipe must name.

    The archive is an uncompressed tar with fixed owners and times: the same bytes on every machine, whatever its zlib.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted([source, *source.rglob("*")]):
            member = tarfile.TarInfo(str(path.relative_to(source.parent)))
            member.mtime = 1735689600  # 2025-01-01
            member.mode = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = path.stat().st_size
                archive.addfile(member, io.BytesIO(path.read_bytes()))
    data = packed.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    target = mirror / "_source-cache" / "archive" / digest[:2] / f"{digest}.tar"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return digest


if __name__ == "__main__":
    sys.exit(main())
