"""The source files of the real packages: their list, and how they are fetched.

Each is, byte for byte, the file that the recipe of spack-packages v2025.11.0 asks for; the sha256 decides. The
machine's own clients, apt-helper and pip, fetch them with the machine's own configuration; they are kept in the user's cache
in the layout of a Spack source mirror, so that the cache is the mirror. A warm cache needs no network.
Source: Spack 1.1 documentation, "Mirrors"; lib/spack/spack/mirrors/layout.py.
"""

import csv
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

ENVIRONMENT: Mapping[str, str] = dict(os.environ)
"""The environment of this process, before a test cleans it: with the machine's proxies, certificates and pip settings."""


class FetchError(Exception):
    """A file could not be fetched, or is not the one that it should be."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One source file."""

    package: str
    version: str
    sha256: str
    file: str
    origin: str
    """`debian` or `pypi`."""
    folder: str = ""
    """Of a Debian file: where it lies below a mirror's root."""

    @property
    def ending(self) -> str:
        """What follows the digest in the mirror: the ending of the address in the recipe."""
        return "whl" if self.file.endswith(".whl") else f"tar.{self.file.rpartition('.')[2]}"


def debian(package: str, version: str, sha256: str, *, source: str = "") -> Source:
    """Return the `.orig` tarball of a Debian source package, by default of the same name as Spack's."""
    source = source or package
    prefix = source[:4] if source.startswith("lib") else source[:1]
    return Source(
        package=package,
        version=version,
        sha256=sha256,
        file=f"{source}_{version}.orig.tar.gz",
        origin="debian",
        folder=f"pool/main/{prefix}/{source}",
    )


def pypi(package: str, version: str, sha256: str, file: str) -> Source:
    """Return a file of PyPI."""
    return Source(package=package, version=version, sha256=sha256, file=file, origin="pypi")


SOURCES = (
    debian("bzip2", "1.0.8", "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269"),
    debian("lz4", "1.9.4", "0b0e3aa07c8c063ddf40b082bdf7e37a1562bda40a0ff5272957f3e987e0e54b"),
    debian("jansson", "2.14", "c739578bf6b764aa0752db9a2fdadcfe921c78f1228c7ec0bb47fa804c55d17b"),
    debian("libsigsegv", "2.14", "cdac3941803364cf81a908499beb79c200ead60b6b5b40cad124fd1e06caa295"),
    debian("ncurses", "6.4", "6931283d9ac87c5073f30b6290c4c75f21632bb4fc3603ac8100812bed248159"),
    debian("jsoncpp", "1.9.5", "f409856e5920c18d0c2fb85276e24ee607d2a09b5e7d5f0a371368903c275da2", source="libjsoncpp"),
    pypi("py-six", "1.17.0", "ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81", "six-1.17.0.tar.gz"),
    pypi(
        "py-pip",
        "25.1.1",
        "2913a38a2abf4ea6b64ab507bd9e967f3b53dc1ede74b01b0931e1ce548751af",
        "pip-25.1.1-py3-none-any.whl",
    ),
    pypi(
        "py-setuptools",
        "80.9.0",
        "062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922",
        "setuptools-80.9.0-py3-none-any.whl",
    ),
    pypi(
        "py-wheel",
        "0.45.1",
        "708e7481cc80179af0e556bbf0cc00b8444c7321e2700b8d8580231d13017248",
        "wheel-0.45.1-py3-none-any.whl",
    ),
)
"""All that the environment beside this file needs, with its Python packages' build dependencies."""


def read_sources(path: Path) -> tuple[Source, ...]:
    """Return the files of Debian that a CSV lists, with the columns `package,version,sha256,file,folder`."""
    with path.open(newline="") as file:
        return tuple(Source(**row, origin="debian") for row in csv.DictReader(file))


def mirror(
    packages: Iterable[str], environment: Mapping[str, str] = ENVIRONMENT, *, sources: Sequence[Source] = SOURCES
) -> Path:
    """Return the folder of a source mirror that holds the files of these packages; missing ones are fetched.

    Packages without a source file, such as gcc-runtime, may be among them. Raises FetchError, naming file and cause.
    """
    folder = _cache(environment) / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(packages)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: the second one waits and finds them
        for source in sources:
            if source.package in wanted:
                _need(source, folder, environment)
    return folder


def place(source: Source, folder: Path) -> Path:
    """Return where a source file lies in a mirror."""
    return folder / "_source-cache" / "archive" / source.sha256[:2] / f"{source.sha256}.{source.ending}"


def _cache(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CACHE_HOME") or Path(environment["HOME"]) / ".cache") / "spack-farm"


def _need(source: Source, folder: Path, environment: Mapping[str, str]) -> None:
    """Fetch a file unless the mirror has it; a file in the mirror is whole, since it came by rename."""
    target = place(source, folder)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        fetched = _FETCH[source.origin](source, Path(scratch), environment)
        found = hashlib.sha256(fetched.read_bytes()).hexdigest()
        if found != source.sha256:
            raise FetchError(f"could not fetch {source.file}: its sha256 is {found}, not {source.sha256}")
        fetched.replace(target)


def _from_debian(source: Source, scratch: Path, environment: Mapping[str, str]) -> Path:
    target = scratch / source.file
    address = f"{_debian_mirror(source, scratch, environment)}/{source.folder}/{source.file}"
    _run(source, ["/usr/lib/apt/apt-helper", "download-file", address, str(target)], environment)
    return target


def _debian_mirror(source: Source, scratch: Path, environment: Mapping[str, str]) -> str:
    """Return the root of the Debian mirror that apt is set up with."""
    listing = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]
    found = _run(source, ["apt-get", *listing], environment).split()
    if not found:  # a machine on which apt-get update never ran: ask in a state of our own, and leave apt's as it is
        (scratch / "lists" / "partial").mkdir(parents=True)
        state = ["-o", f"Dir::State::lists={scratch / 'lists'}", "-o", "APT::Sandbox::User=root"]
        _run(source, ["apt-get", *state, "update", "-qq"], environment)
        found = _run(source, ["apt-get", *state, *listing], environment).split()
    if not found:
        raise FetchError(f"could not fetch {source.file}: apt is set up with no Debian mirror")
    return found[0].rstrip("/")


def _from_pypi(source: Source, scratch: Path, environment: Mapping[str, str]) -> Path:
    project = source.package.removeprefix("py-")
    kind = "--only-binary" if source.ending == "whl" else "--no-binary"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", kind, project]
    _run(source, [*pip, "--dest", str(scratch), f"{project}=={source.version}"], environment)
    return scratch / source.file


_FETCH: dict[str, Callable[[Source, Path, Mapping[str, str]], Path]] = {"debian": _from_debian, "pypi": _from_pypi}


def _run(source: Source, argv: list[str], environment: Mapping[str, str]) -> str:
    """Return a program's output. Raises FetchError with its last line."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=300, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"could not fetch {source.file}: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"{argv[0]} ended with {done.returncode}").splitlines()
        raise FetchError(f"could not fetch {source.file}: {lines[-1]}")
    return done.stdout
