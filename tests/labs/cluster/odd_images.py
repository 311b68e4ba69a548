"""Images that are odd in one way each: shells, C libraries, architectures, files, users, environments, entrypoints.

Each comes with the job that is tried in it. Most are busybox with something else instead of a part of it; programs are those
of Debian's packages. Their references are `localhost/odd-NAME:1`, with hyphens for whatever is no letter or digit.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.labs.cluster.images import archive, lay_out_busybox

_LIBRARIES = "lib/x86_64-linux-gnu"
_GLIBC = ("libc6",)
_POSIX = {"FF_POSIXLY_CORRECT_ESCAPES": "true"}
_HONOR = {"FF_KUBERNETES_HONOR_ENTRYPOINT": "true"}
_LOOK = ['echo "@<$ODD>"', 'echo "@$(id -u):$(id -g)"', "echo x >f && echo @written", "false || echo @$?", "(exit 3)"]
_LOOK_WITHOUT_TOOLS = ['echo "@<$ODD>"', "echo @ran"]
_START_UP = ("etc/profile", "etc/bash.bashrc", "root/.bashrc", "root/.profile")
_FISH = (*_GLIBC, "libtinfo6", "libgcc-s1", "libstdc++6", "libpcre2-32-0")
_TCSH = (*_GLIBC, "libtinfo6", "libcrypt1")
_SH = ("bin/sh", "bin/ash")
_HOME = ["[ -w ~ ] && echo @home can be written to"]
_ODD = 'it\'s $HOME; `x` \\n "y" *'


@dataclasses.dataclass(frozen=True)
class OddImage:
    """What an image has, and the job that is tried in it."""

    tools: str = "busybox"
    """Where the usual commands come from: `busybox`, a package with one, `toybox`, or nothing."""
    shell: str = ""
    """A package's program, `PACKAGE/path`, that is `/bin/sh` instead of busybox's."""
    programs: dict[str, str] = dataclasses.field(default_factory=dict)
    """Further programs: a package's by the path at which the image has it."""
    libraries: tuple[str, ...] = ()
    """Packages whose shared libraries it has, the loader included."""
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """Text by path; those with `#!` are executable."""
    links: dict[str, str] = dataclasses.field(default_factory=dict)
    without: tuple[str, ...] = ()
    """What is removed again."""
    change: Callable[[Path], None] | None = None
    """What is done to its files at last."""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Changes to the image's configuration."""
    script: list[str] = dataclasses.field(default_factory=lambda: list(_LOOK))
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    waits: bool = False
    """Whether one of the two executors waits until the job's timeout is over."""


def _env(*pairs: str) -> dict[str, Any]:
    return {"Env": list(pairs)}


def _entered(*entrypoint: str, script: list[str] | None = None, **more: Any) -> OddImage:
    """Return an image whose entrypoint the job honors."""
    return OddImage(
        config={"Entrypoint": list(entrypoint)}, variables=_HONOR, script=script or ['echo "@<$ODD> <$FROM>"'], **more
    )


def _merge_bin(root: Path) -> None:
    (root / "bin").rename(root / "usr/merged")
    (root / "bin").symlink_to("usr/merged")


def _lock_folders(root: Path) -> None:
    for name in ("root", "usr", "opt"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o000)


def _make_read_only(root: Path) -> None:
    """Leave nothing that another user than root can write to."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o555)


_SHELLS = {
    "zsh as sh": OddImage(shell="zsh-static/bin/zsh-static"),
    "mksh as sh": OddImage(shell="mksh/usr/lib/klibc/bin/mksh"),
    "mksh on musl as sh": OddImage(shell="mksh-musl/mksh", libraries=("musl",)),
    "ksh93 as sh": OddImage(waits=True, shell="ksh93u+m/bin/ksh93", libraries=_GLIBC),
    "yash as sh": OddImage(shell="yash/usr/bin/yash", libraries=(*_GLIBC, "libtinfo6"), variables=_POSIX),
    "posh as sh": OddImage(shell="posh/usr/bin/posh", libraries=_GLIBC, variables=_POSIX),
    "sash as sh": OddImage(shell="sash/bin/sash", waits=True),
    "fish alone": OddImage(
        programs={"usr/bin/fish": "fish/usr/bin/fish"},
        libraries=_FISH,
        without=_SH,
        waits=True,
    ),
    "tcsh alone": OddImage(
        programs={"bin/tcsh": "tcsh/bin/tcsh"},
        libraries=_TCSH,
        without=_SH,
        waits=True,
    ),
    "tcsh as sh": OddImage(shell="tcsh/bin/tcsh", libraries=_TCSH, waits=True),
    "zsh as bash": OddImage(programs={"bin/bash": "zsh-static/bin/zsh-static"}),
    "toybox and bash": OddImage(
        waits=True, tools="toybox", libraries=(*_GLIBC, "libcrypt1"), programs={"bin/bash": "bash-static"}
    ),
    "bash without its libraries": OddImage(waits=True, programs={"bin/bash": "bash/bin/bash"}),
    "bash with its libraries": OddImage(programs={"bin/bash": "bash/bin/bash"}, libraries=(*_GLIBC, "libtinfo6")),
    "bash that is a folder": OddImage(waits=True, files={"bin/bash/readme": "x"}),
    "bash that is a link to nothing": OddImage(links={"bin/bash": "/nowhere/bash"}),
    "bash that is empty": OddImage(waits=True, files={"bin/bash": ""}),
    "bash behind a script": OddImage(
        files={"usr/local/bin/bash": '#!/bin/sh\nWRAPPED=yes exec /bin/bash-static "$@"\n'},
        programs={"bin/bash-static": "bash-static"},
    ),
    "sh behind a link elsewhere": OddImage(
        links={"nix/store/busybox": "/bin/busybox", "usr/bin/sh": "/nix/store/busybox"}, without=("bin/sh",)
    ),
    "busybox in a folder of its own": OddImage(
        waits=True, links={"busybox/busybox": "/bin/busybox", "busybox/sh": "busybox"}, without=_SH
    ),
    "32-bit": OddImage(tools="busybox-static:i386", programs={"bin/bash": "bash-static:i386/bin/bash-static"}),
    "32-bit by its description": OddImage(tools="busybox-static:i386", config={"architecture": "386"}),
    "programs of another architecture": OddImage(tools="busybox-static:arm64", waits=True),
}
_FILES = {
    "no head, no wc": OddImage(without=("bin/head", "bin/wc"), script=["seq 1 1000 | sed s/^/@/"]),
    "no dd, no cat": OddImage(without=("bin/dd", "bin/cat"), script=["seq 1 1000 | sed s/^/@/"]),
    "no /etc": OddImage(without=("etc",)),
    "no /tmp, no /root, no /usr": OddImage(without=("tmp", "root", "usr")),
    "no /dev, no /proc, no /sys": OddImage(without=("dev", "proc", "sys")),
    "/bin is a link": OddImage(change=_merge_bin),
    "/tmp is a file": OddImage(files={"tmp": "x"}),
    "/builds is a file": OddImage(files={"builds": "x"}, waits=True),
    "/builds is a link": OddImage(links={"builds": "data/builds"}, files={"data/builds/kept": "x"}),
    "/builds has files": OddImage(files={"builds/kept": "x"}, script=["ls /builds | sed s/^/@/"]),
    "/cache is a file": OddImage(files={"cache": "x"}, waits=True),
    "/etc/passwd is no text": OddImage(files={"etc/passwd": "\x01\x7f:::\n" * 50_000}),
    "/etc/passwd without root": OddImage(files={"etc/passwd": "x:x:7:7::/:/bin/sh\n"}),
    "/etc/passwd is a folder": OddImage(waits=True, files={"etc/passwd/x": "x"}),
    "read-only for its user": OddImage(change=_make_read_only, config={"User": "1000"}),
    "folders that nobody may read": OddImage(
        files={"root/.profile": "echo @profile\n"}, config={"User": "1000"}, change=_lock_folders
    ),
    "start-up files of a shell": OddImage(
        files=dict.fromkeys(_START_UP, "echo @read at the start\n"),
        programs={"bin/bash": "bash-static"},
    ),
}
_USERS = {
    "user by name": OddImage(config={"User": "builder"}),
    "user and group by name": OddImage(config={"User": "builder:builder"}),
    "user that is not there": OddImage(config={"User": "nosuch"}, waits=True),
    "group that is not there": OddImage(config={"User": "0:nosuch"}, waits=True),
    "user without an entry": OddImage(
        config={"User": "65532:65532"}, script=[*_LOOK[:3], "cd; echo y >home_file && echo @home"]
    ),
    "user with a home that is not there": OddImage(config={"User": "1000", "Env": ["HOME=/home/nonroot"]}, script=_HOME),
    "root with a home that cannot be": OddImage(config=_env("HOME=/proc/nowhere"), script=_HOME),
    "largest user": OddImage(config={"User": "4294967294"}, waits=True),
    "negative user": OddImage(config={"User": "-1"}, waits=True),
}
_BASH = {"bin/bash": "bash-static"}
_ENVIRONMENTS = {
    "BASH_ENV with set -u": OddImage(config=_env("BASH_ENV=/etc/benv"), files={"etc/benv": "set -u\n"}, programs=_BASH),
    "BASH_ENV with set -e": OddImage(config=_env("BASH_ENV=/etc/benv"), files={"etc/benv": "set -e\n"}, programs=_BASH),
    "BASH_ENV that prints": OddImage(
        config=_env("BASH_ENV=/etc/benv"), files={"etc/benv": "echo @the image\n"}, programs=_BASH
    ),
    "options of shells and tools": OddImage(
        config=_env(
            "SHELLOPTS=nounset",
            "ENV=/etc/benv",
            "PS4=x",
            "IFS=,",
            "CDPATH=/",
            "GREP_OPTIONS=-v",
            "POSIXLY_CORRECT=1",
            "TMOUT=3",
            "LD_PRELOAD=/nowhere/lib.so",
        ),
        files={"etc/benv": "exit 9\n"},
        programs=_BASH,
        script=[*_LOOK[:3], "sleep 4; echo @after"],
    ),
    "no PATH": OddImage(config={"Env": None}),
    "empty PATH": OddImage(waits=True, config=_env("PATH="), script=_LOOK_WITHOUT_TOOLS),
    "PATH without tools": OddImage(waits=True, config=_env("PATH=/opt/bin"), script=_LOOK_WITHOUT_TOOLS),
    "PATH with odd folders": OddImage(
        config=_env("PATH=:.:relative:/a b:/bin:/bin//:~/bin:"), script=[*_LOOK[:3], 'echo "@$PATH"']
    ),
    "empty HOME": OddImage(config=_env("HOME="), script=_HOME),
    "relative HOME": OddImage(config=_env("HOME=here/and/there"), script=_HOME),
    "HOME is a file": OddImage(config=_env("HOME=/etc/passwd"), script=_HOME),
    "variables of shells": OddImage(
        config=_env(
            "PWD=/nowhere",
            "OLDPWD=x",
            "SHLVL=999",
            "_=x",
            "BASHOPTS=extglob",
            "PROMPT_COMMAND=echo @prompt",
            "FUNCNEST=1",
            "LC_ALL=xx_YY",
            "TERM=",
            "HISTFILE=/h",
            "BASH_FUNC_odd%%=() { echo @function; }",
            "POSIXLY_CORRECT=1",
            "OPTIND=9",
            "EUID=7",
            "UID=7",
            "RANDOM=x",
            "SECONDS=x",
            "LINENO=x",
            "HOSTNAME=image",
            "PPID=1",
            "SHELL=/bin/false",
            "TZ=:nowhere",
        ),
        programs={"bin/bash": "bash-static"},
        script=[*_LOOK[:3], "odd || echo @no function"],
    ),
    "variables of loaders and languages": OddImage(
        waits=True,
        config=_env(
            "LD_AUDIT=/nowhere.so",
            "LD_BIND_NOW=1",
            "LD_DEBUG=help",
            "LD_LIBRARY_PATH=/etc:.",
            "GCONV_PATH=.",
            "PYTHONHOME=/x",
        ),
        programs={"bin/bash": "bash/bin/bash"},
        libraries=(*_GLIBC, "libtinfo6"),
        script=["echo @ran | grep ran"],
    ),
    "a foreign C library in LD_LIBRARY_PATH": OddImage(
        waits=True,
        config=_env("LD_LIBRARY_PATH=/foreign"),
        programs={"bin/bash": "bash/bin/bash", "foreign/libc.so.6": "musl/lib/x86_64-linux-musl/libc.so"},
        libraries=(*_GLIBC, "libtinfo6"),
    ),
    "large environment": OddImage(
        config=_env(f"LARGE={'x' * 100_000}", *(f"V{n}={'y' * 10_000}" for n in range(60))), script=["echo @${#LARGE}"]
    ),
    "variables that are none": OddImage(
        waits=True,
        config=_env("NOEQUALS", "=x", "A B=c", "N=1\n@2", "é=ü", "X=", "X=2", "1A=b", "a.b=c"),
        script=['echo "@<$ODD> <$X>"'],
    ),
    "the job's own variables": OddImage(
        config=_env("ODD=the image's", "CI=x", "CI_PROJECT_DIR=/x", "GIT_STRATEGY=clone"),
        script=['echo "@<$ODD> <$CI> <$CI_PROJECT_DIR>"'],
    ),
}
_CONFIGURATIONS = {
    "working folder that is missing": OddImage(config={"WorkingDir": "/deep/er"}),
    "working folder with a blank": OddImage(config={"WorkingDir": "/a b/$HOME"}),
    "working folder that is a file": OddImage(config={"WorkingDir": "/etc/passwd"}, waits=True),
    "relative working folder": OddImage(waits=True, config={"WorkingDir": "tmp"}),
    "stop signal that is none": OddImage(config={"StopSignal": "SIGFOO"}),
    "stop signal KILL": OddImage(config={"StopSignal": "SIGKILL"}),
    "volumes": OddImage(
        config={"Volumes": {"/builds": {}, "/cache": {}, "/data": {}, "/bin": {}}},
        script=[*_LOOK[:3], "echo x >/data/f && echo @data"],
    ),
    "neither command nor entrypoint": OddImage(config={"Cmd": None}),
    "entrypoint as one line": OddImage(config={"Entrypoint": ["/bin/sh", "-c", "top -b"]}),
}
_ENTRYPOINTS = {
    "entrypoint tini": _entered("/sbin/tini", "--", programs={"sbin/tini": "tini/usr/bin/tini-static"}),
    "entrypoint dumb-init": _entered("/sbin/init", programs={"sbin/init": "dumb-init/usr/bin/dumb-init"}, libraries=_GLIBC),
    "entrypoint catatonit": _entered("/sbin/init", "--", programs={"sbin/init": "catatonit/usr/bin/catatonit"}),
    "entrypoint that drops its user": _entered(
        "/sbin/gosu",
        "builder",
        programs={"sbin/gosu": "gosu/usr/sbin/gosu"},
        script=['echo "@$(id -u) $HOME"', "echo x >f && echo @written"],
    ),
    "entrypoint without an environment": _entered("/bin/env", "-i", "FROM=env"),
    "entrypoint zsh": _entered("/bin/zsh", programs={"bin/zsh": "zsh-static/bin/zsh-static"}, waits=True),
    "entrypoint fish": _entered(
        "/usr/bin/fish",
        programs={"usr/bin/fish": "fish/usr/bin/fish"},
        waits=True,
        libraries=_FISH,
    ),
    "entrypoint tcsh": _entered("/bin/tcsh", programs={"bin/tcsh": "tcsh/bin/tcsh"}, libraries=_TCSH, waits=True),
    "entrypoint that is a login shell": _entered(
        "/bin/sh", "-l", files={"etc/profile": "export FROM=profile\n"}, waits=True
    ),
    "entrypoint in a chain": _entered(
        "/bin/env", "FROM=chain", "/bin/timeout", "100", "/bin/sh", "-c", 'exec "$@"', "x", waits=True
    ),
    "entrypoint with a timeout": _entered("/bin/timeout", "100"),
    "entrypoint that reads its input": _entered(
        "/e", files={"e": '#!/bin/sh\nexport FROM=$(cat | wc -c)\nexec "$@"\n'}, waits=True
    ),
    "entrypoint that closes its streams": _entered("/e", files={"e": '#!/bin/sh\nexec "$@" <&- >&- 2>&-\n'}, waits=True),
    "entrypoint that starts it in the background": _entered(
        "/e", files={"e": '#!/bin/sh\nexport FROM=e\n"$@" &\nwait\n'}, waits=True
    ),
    "entrypoint that ignores signals": _entered(
        "/e", files={"e": "#!/bin/sh\ntrap '' INT TERM HUP CHLD PIPE\nexec \"$@\"\n"}
    ),
    "entrypoint that empties PATH": _entered(
        "/e", files={"e": '#!/bin/sh\nexport FROM=e PATH=\nexec "$@"\n'}, script=["echo @ran"]
    ),
    "entrypoint with limits": _entered(
        "/e",
        files={"e": '#!/bin/sh\nulimit -f 100; ulimit -n 20; umask 077\nexec "$@"\n'},
        script=['echo "@$(ulimit -f) $(ulimit -n) $(umask)"'],
    ),
    "entrypoint that prints much": _entered("/e", files={"e": '#!/bin/sh\nseq 1 100000\nexec "$@"\n'}, script=["echo @ran"]),
    "entrypoint that is not executable": _entered("/etc/passwd", waits=True),
    "entrypoint that is a folder": _entered("/etc", waits=True),
    "entrypoint without an interpreter": _entered("/e", files={"e": "#!/nowhere/sh\nexec\n"}, waits=True),
    "entrypoint that ends well": _entered("/bin/true", waits=True),
    "entrypoint that kills itself": _entered("/e", files={"e": "#!/bin/sh\nkill -9 $$\n"}, waits=True),
    "entrypoint that runs something else": _entered("/bin/sleep", "600", waits=True),
}
ODD_IMAGES = _SHELLS | _FILES | _USERS | _ENVIRONMENTS | _CONFIGURATIONS | _ENTRYPOINTS
ODD_VARIABLES = {"ODD": _ODD}
"""Variables of every job in them."""


def reference(name: str) -> str:
    """Return by which name a node has an image."""
    return f"localhost/odd-{''.join(c if c.isalnum() else '-' for c in name.lower())}:1"


def write_odd_images(folder: Path, packages: Path, *, only: list[str]) -> Iterator[Path]:
    """Write an archive for each image, or for some; yield their paths. `packages` is from `debian_packages`."""
    for name, image in ODD_IMAGES.items():
        if only and name not in only:
            continue
        number = len(list(folder.iterdir()))
        root = folder / f"odd-root-{number}"
        _lay_out(root, image, packages)
        path = folder / f"odd-{number}.tar"
        path.write_bytes(archive(root, {reference(name): image.config}, command="/bin/sh"))
        shutil.rmtree(root)
        yield path


def _lay_out(root: Path, image: OddImage, packages: Path) -> None:
    if image.tools == "toybox":
        _toybox(root, packages)
    elif image.tools:
        lay_out_busybox(root, program=packages / image.tools / "bin/busybox" if ":" in image.tools else Path("/bin/busybox"))
    for library in image.libraries:
        _libraries(root, packages / library)
    for path, source in (image.programs | ({"bin/sh": image.shell} if image.shell else {})).items():
        _copy(Path("/bin/bash-static") if source == "bash-static" else packages / source, root / path)
    for path, text in image.files.items():
        _write(root / path, text)
    for path, target in image.links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    for path in image.without:
        _remove(root / path)
    if image.change:
        image.change(root)


def _toybox(root: Path, packages: Path) -> None:
    """Lay out toybox's own commands; it has no shell that could be used."""
    lay_out_busybox(root)
    for path in (root / "bin").iterdir():
        if path.is_symlink() or path.name == "busybox":
            path.unlink()
    _copy(packages / "toybox/bin/toybox", root / "bin/toybox")
    for name in ("mkdir", "rm", "chmod", "touch", "id", "ls", "cat", "sed", "sleep", "true", "false", "echo", "grep"):
        (root / "bin" / name).symlink_to("toybox")


def _libraries(root: Path, package: Path) -> None:
    for folder in ("lib", "usr/lib", "lib64"):
        for path in sorted((package / folder).rglob("*.so*")) if (package / folder).exists() else ():
            if "gconv" in path.parts or "audit" in path.parts:
                continue
            target = root / str(path.relative_to(package)).removeprefix("usr/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Write a file in the place of what is there; a folder on its way replaces a file."""
    for parent in path.parents:
        if parent.is_file():
            parent.unlink()
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") or not text else 0o644)
