"""Container images without a registry: docker archives written from files of this machine, with the standard library only.

Needs busybox-static, bash-static, dash and gcc. The archives are what `ctr image import` and `docker load` read.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin")
_FAKE_RUNNER = HERE.parents[1] / "fakes/gitlab-runner"


_ENTRYPOINTS = {
    "exports": 'export FROM_ENTRYPOINT="it\'s set"; ulimit -n 321; umask 027; cd /opt\n'
    'echo the entrypoint speaks >&2; exec "$@"',
    "fails": "echo no database here >&2; exit 3",
    "slow": 'sleep 4; exec "$@"',
    "child": '"$@"; echo its child has ended',
    "quiet": 'exec "$@" >/dev/null 2>&1',
    "forgets": "exec sleep 600",
}
"""Programs in busybox's folder /entry."""
HOSTILE = {
    "BASH_ENV": "/etc/benv", "ENV": "/etc/benv", "SHELLOPTS": "nounset", "TMOUT": "3", "PS4": "x", "IFS": ",", "CDPATH": "/",
    "GREP_OPTIONS": "-v", "LD_PRELOAD": "/nowhere/lib.so", "LD_LIBRARY_PATH": "/nowhere",
    **dict.fromkeys(("stage", "root", "home", "shell", "size", "base", "key", "value", "group", "last", "bash"), "its"),
}  # fmt: skip
"""The environment of the image `hostile`, whose bash reads a file that prints a line and ends at unset variables."""


def _configurations() -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by root folder, the images that differ from it in their configuration only."""
    env = [f"{name}={value}" for name, value in HOSTILE.items()]
    entries = {f"entry-{name}": {"Entrypoint": [f"/entry/{name}"]} for name in _ENTRYPOINTS}
    shells = {
        "entry-sh": {"Entrypoint": ["/bin/sh"]},
        "entry-sh-c": {"Entrypoint": ["/bin/sh", "-c"]},
        "entry-words": {"Entrypoint": ["/bin/env", "FROM_ENTRYPOINT=words"]},
        "entry-missing": {"Entrypoint": ["/nowhere/entry"]},
    }
    odd: dict[str, dict[str, Any]] = {
        "nobody": {"User": "4321:4321"},
        "no-such-user": {"User": "nosuch"},
        "folder-is-file": {"WorkingDir": "/etc/passwd"},
        "no-path": {"Env": ["PATH=/opt", "HOME=/proc/nowhere"]},
    }
    function = {"Env": ["BASH_FUNC_odd%%=() { echo its function; }"]}
    return {"busybox": {**entries, **shells, **odd}, "bash": {"hostile": {"Env": env}, "function": function}}


def write_images(folder: Path) -> list[Path]:
    """Write the archives that the cluster's tests use; return their paths.

    `busybox` (sh, and a fake gitlab-runner), `bash` (the same with bash), `dash` (busybox tools, but dash as sh), `bare`
    (bash and what the Runner's scripts call), `norunner` (busybox without that gitlab-runner), `noshell` (nothing but the
    pause program), `pause` (the pods' sandbox), and those of `_configurations`. All are `localhost/NAME:1`.
    """
    roots = {name: folder / f"root-{name}" for name in ("busybox", "bash", "dash", "bare", "norunner", "noshell", "pause")}
    for name in ("busybox", "bash", "dash", "norunner"):
        lay_out_busybox(roots[name])
    lay_out_busybox(roots["bare"], only=("mkdir", "rm", "chmod", "touch", "ls"))
    for name in ("bash", "bare"):
        shutil.copy2("/bin/bash-static", roots[name] / "bin/bash")
    (roots["bash"] / "etc/benv").write_text("echo a line of the image; set -u\n")
    (roots["busybox"] / "opt").mkdir()
    for name, text in _ENTRYPOINTS.items():
        path = roots["busybox"] / "entry" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    _dash(roots["dash"])
    (roots["norunner"] / "bin/gitlab-runner").unlink()
    for name in ("noshell", "pause"):
        roots[name].mkdir(parents=True)
        subprocess.run(["gcc", "-Os", "-static", "-s", "-o", roots[name] / "pause", HERE / "pause.c"], check=True)
    archives = []
    for name, root in roots.items():
        command = "/pause" if (root / "pause").exists() else "/bin/sh"
        archives.append(folder / f"{name}.tar")
        changed: dict[str, dict[str, Any]] = {name: {}} | _configurations().get(name, {})
        images = {f"localhost/{one}:1": changes for one, changes in changed.items()}
        archives[-1].write_bytes(archive(root, images, command=command))
    return archives


def write_image_of_programs(folder: Path, name: str, *programs: str, also: tuple[str, ...] = ()) -> Path:
    """Write the archive of `localhost/NAME:1`: busybox, programs of this machine with their libraries, further folders."""
    root = folder / f"root-{name}"
    lay_out_busybox(root)
    for program in programs:
        _with_libraries(root, program, program)
    for path in also:
        shutil.copytree(path, root / path.lstrip("/"), symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "test"))
    written = folder / f"{name}.tar"
    written.write_bytes(archive(root, {f"localhost/{name}:1": {}}, command="/bin/sh"))
    return written


def lay_out_busybox(root: Path, *, only: tuple[str, ...] = (), program: Path = Path("/bin/busybox")) -> None:
    """Lay out busybox with its links, or only some of them, two users and the fake gitlab-runner."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, root / "bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in only or applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/tmp:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nbuilder:x:1000:\n")
    shutil.copy2(_FAKE_RUNNER, root / "bin/gitlab-runner")


def _dash(root: Path) -> None:
    """Make dash the image's `sh`, with the libraries that it is linked to."""
    (root / "bin/sh").unlink()
    (root / "bin/ash").unlink()
    _with_libraries(root, "/bin/dash", "/bin/sh")


def _with_libraries(root: Path, program: str, path: str) -> None:
    """Copy a program of this machine to a path in a root folder, and the libraries that it is linked to."""
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for source, place in [(program, path), *((word, word) for word in linked.split() if word.startswith("/"))]:
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(source).resolve(), target)


def archive(root: Path, images: dict[str, dict[str, Any]], *, command: str) -> bytes:
    """Return a docker archive of images, by reference, that share one layer, each with its changes to the configuration.

    podman's cache wants the history entry.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(root, arcname=".", filter=_owned_by_root)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    members, manifest = {f"{digest}.tar": layer.getvalue()}, []
    for name, changes in images.items():
        config = _configuration(digest, changes, command=command)
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        members[config_name] = config
        manifest.append({"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar"]})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in (members | {"manifest.json": json.dumps(manifest).encode()}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _configuration(digest: str, changes: dict[str, Any], *, command: str) -> bytes:
    """Return an image's configuration; its environment has a PATH unless `Env` is None or has one."""
    created = "2026-01-01T00:00:00Z"
    added = changes.get("Env", [])
    has_path = added is None or any(pair.startswith("PATH=") for pair in added)
    environment = added if has_path else ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", *added]
    return json.dumps({
        "architecture": changes.get("architecture", "amd64"),
        "os": "linux",
        "created": created,
        "config": {"Cmd": [command]} | changes | {"Env": environment},
        "history": [{"created": created, "created_by": "images.py"}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }).encode()  # fmt: skip


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member
