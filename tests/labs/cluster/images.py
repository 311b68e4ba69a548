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

HERE = Path(__file__).resolve().parent
_FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin")
_FAKE_RUNNER = HERE.parents[1] / "fakes/gitlab-runner"


def write_images(folder: Path) -> list[Path]:
    """Write the archives that the cluster's tests use; return their paths.

    `busybox` (sh, and a fake gitlab-runner), `bash` (the same with bash), `dash` (busybox tools, but dash as sh),
    `norunner` (busybox without that gitlab-runner), `noshell` (nothing but the pause program), `pause` (the pods' sandbox).
    All are `localhost/NAME:1`.
    """
    roots = {name: folder / f"root-{name}" for name in ("busybox", "bash", "dash", "norunner", "noshell", "pause")}
    for name in ("busybox", "bash", "dash", "norunner"):
        _busybox(roots[name])
    shutil.copy2("/bin/bash-static", roots["bash"] / "bin/bash")
    _dash(roots["dash"])
    (roots["norunner"] / "bin/gitlab-runner").unlink()
    for name in ("noshell", "pause"):
        roots[name].mkdir(parents=True)
        subprocess.run(["gcc", "-Os", "-static", "-s", "-o", roots[name] / "pause", HERE / "pause.c"], check=True)
    archives = []
    for name, root in roots.items():
        command = "/pause" if (root / "pause").exists() else "/bin/sh"
        archives.append(folder / f"{name}.tar")
        archives[-1].write_bytes(_archive(root, reference=f"localhost/{name}:1", command=command))
    return archives


def _busybox(root: Path) -> None:
    """Lay out busybox with its links, a root user and the fake gitlab-runner."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/tmp:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nbuilder:x:1000:\n")
    shutil.copy2(_FAKE_RUNNER, root / "bin/gitlab-runner")


def _dash(root: Path) -> None:
    """Make dash the image's `sh`, with the libraries that it is linked to."""
    (root / "bin/sh").unlink()
    (root / "bin/ash").unlink()
    shutil.copy2("/bin/dash", root / "bin/sh")
    linked = subprocess.run(["ldd", "/bin/dash"], check=True, capture_output=True, text=True).stdout
    for word in linked.split():
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(word).resolve(), target)


def _archive(root: Path, *, reference: str, command: str) -> bytes:
    """Return a docker archive of one layer; podman's cache wants the history entry."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(root, arcname=".", filter=_owned_by_root)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    created = "2026-01-01T00:00:00Z"
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {"Cmd": [command], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]},
        "history": [{"created": created, "created_by": "images.py"}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }).encode()  # fmt: skip
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [reference], "Layers": [f"{digest}.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in ((config_name, config), (f"{digest}.tar", layer.getvalue()), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member
