"""Files of Debian's packages for made-up images, of any architecture: unpacked beside the checkout, not installed.

apt gets lists and folders of its own, so the machine's are neither read nor changed. Needs apt-get, dpkg-deb and a network
once; what was unpacked is kept, named by what it was made from.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

_PACKAGES = (
    "zsh-static", "mksh", "ksh93u+m", "yash", "posh", "tcsh", "toybox", "sash", "fish", "bash",  # shells
    "libc6", "libtinfo6", "libcrypt1", "libgcc-s1", "libstdc++6", "libpcre2-32-0", "musl", "musl-dev",  # libraries
    "tini", "dumb-init", "catatonit", "gosu", "bash-static:i386", "busybox-static:i386", "busybox-static:arm64",
)  # fmt: skip
_ARCHITECTURES = ("amd64", "i386", "arm64")


def unpacked() -> Path:
    """Return the folder in which each package lies in one named PACKAGE, or PACKAGE:ARCHITECTURE for a foreign one.

    `mksh-musl` beside them is a shell that is linked to musl, which no package has. Raises CalledProcessError.
    """
    recipe = Path(__file__).read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spack-farm/debian"
    made = cache / hashlib.sha256(recipe).hexdigest()[:16]
    if made.exists():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        part = Path(folder) / "part"
        part.mkdir()
        apt = _apt(Path(folder))
        subprocess.run([*apt, "-qq", "update"], check=True)
        subprocess.run([*apt, "-qq", "download", *_PACKAGES], check=True, cwd=folder)
        subprocess.run([*apt, "-qq", "source", "--download-only", "mksh"], check=True, cwd=folder)
        for package in _PACKAGES:
            name, _, architecture = package.partition(":")
            (archive,) = (p for p in Path(folder).glob(f"{name}_*_{architecture or 'amd64'}.deb"))
            subprocess.run(["dpkg-deb", "-x", archive, part / package], check=True)
        _compile_for_musl(Path(folder), part)
        if not made.exists():
            shutil.move(part, made)
    return made


def _apt(folder: Path) -> list[str]:
    """Return how apt-get is called with lists of its own below a folder."""
    options = f"[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {_archive()} {_release()} main"
    (folder / "sources.list").write_text(f"deb {options}\ndeb-src {options}\n")
    (folder / "status").touch()
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    own = {
        "Dir::Etc::SourceList": f"{folder}/sources.list", "Dir::Etc::SourceParts": "/nonexistent", "Dir::Cache": str(folder),
        "Dir::State::status": f"{folder}/status", "Dir::State::Lists": f"{folder}/lists", "APT::Sandbox::User": "root",
    }  # fmt: skip
    words = [f"{key}={value}" for key, value in own.items()] + [f"APT::Architectures::={one}" for one in _ARCHITECTURES]
    return ["apt-get", *(part for word in words for part in ("-o", word))]


def _archive() -> str:
    """Return DEBIAN_MIRROR, or where this machine's apt gets Debian from."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]
    return (
        os.environ.get("DEBIAN_MIRROR") or subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[0]
    )


def _release() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _compile_for_musl(folder: Path, part: Path) -> None:
    """Compile Debian's source of mksh with the C library that the package musl has, dynamically."""
    musl = part / "musl"
    shutil.copytree(part / "musl-dev/usr", musl / "usr", dirs_exist_ok=True)
    specs = (musl / "usr/lib/x86_64-linux-musl/musl-gcc.specs").read_text()
    specs = specs.replace(" /usr/", f" {musl}/usr/").replace(
        "-L/usr/lib", f"-L{musl}/lib/x86_64-linux-musl -L{musl}/usr/lib"
    )
    (folder / "specs").write_text(specs)
    source = folder / "mksh"
    source.mkdir()
    (archive,) = folder.glob("mksh_*.orig.tar.gz")
    subprocess.run(["tar", "xf", archive, "--strip-components=1"], check=True, cwd=source)
    environment = {"PATH": os.environ["PATH"], "CC": f"gcc -specs {folder}/specs"}
    subprocess.run(["sh", "Build.sh", "-r"], check=True, cwd=source, env=environment, capture_output=True)
    (part / "mksh-musl").mkdir()
    shutil.copy2(source / "mksh", part / "mksh-musl/mksh")
    shutil.rmtree(musl / "usr")
