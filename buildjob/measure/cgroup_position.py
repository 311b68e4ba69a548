"""Which cgroup this process is in, and which limits hold there. Text becomes values; nothing is changed.

Source: cgroups(7), proc(5) (mountinfo), kernel Documentation/admin-guide/cgroup-v1/{memory,cpuacct}.rst and cgroup-v2.rst.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

# Inode numbers of the machine's first namespaces, the same on every Linux (include/linux/proc_ns.h).
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_FIRST_CGROUP_NAMESPACE = "cgroup:[4026531835]"
# v1 writes "no limit" as the largest page-aligned 64-bit number.
_NO_LIMIT = 1 << 60
_CONTROLLERS = ("memory", "cpuacct", "cpu")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A cgroup: the folders that show it, one for each controller on v1, the same for all on v2."""

    version: str
    """`v1` or `v2`."""
    path: str
    """Its name in the memory hierarchy, as in `/proc/self/cgroup`."""
    folders: dict[str, Path]
    """Controller to folder; only controllers in which it has the same path as in `memory`."""
    tops: dict[str, Path]
    """Controller to mount point: nothing above it can be seen."""
    limit_folders: dict[str, Path]
    """Controller to the folder where our own limits begin, also for controllers in which the path differs."""
    is_root: bool = False
    """The machine's root cgroup, which counts all processes."""
    own_namespace: bool = False
    """This process lives in a pid or cgroup namespace that is not the machine's."""
    has_own_limit: bool = False
    """Its memory limit is lower than its parent's."""

    @property
    def is_top(self) -> bool:
        """Whether nothing above it can be seen."""
        return self.memory_folder == self.tops["memory"]

    @property
    def memory_folder(self) -> Path:
        """The folder with the memory figures."""
        return self.folders["memory"]


class Mount(msgspec.Struct, frozen=True):
    """A mounted hierarchy."""

    point: Path
    root: str
    """Which cgroup of the hierarchy is seen at the mount point."""
    controllers: frozenset[str]
    """v1 only."""
    is_v2: bool


def parse_mounts(text: str) -> list[Mount]:
    """Return the cgroup mounts of a `/proc/self/mountinfo`, in its order."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not separator or len(fields) < 5 or tail[0] not in {"cgroup", "cgroup2"}:
            continue
        options = frozenset(tail[2].split(",")) if len(tail) > 2 else frozenset()
        mounts.append(Mount(Path(_unescape(fields[4])), _unescape(fields[3]), options, tail[0] == "cgroup2"))
    return mounts


def parse_memberships(text: str) -> dict[str, str]:
    """Return controller to path of a `/proc/self/cgroup`; the controller of v2's only line is empty."""
    paths = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def folder_of(mount: Mount, path: str) -> Path | None:
    """Return where a cgroup is seen below a mount; None if it lies outside of what is mounted."""
    if "/.." in path or "/.." in mount.root:
        return None
    if mount.root == "/":
        return mount.point / path.lstrip("/")
    if path == mount.root or path.startswith(mount.root + "/"):
        return mount.point / path[len(mount.root) :].lstrip("/")
    # In a cgroup namespace of our own, paths are relative to its root, which the mount knows by another name.
    return mount.point if path == "/" else None


def read_position(proc: Path) -> Position | None:
    """Return the cgroup of this process; None where no memory controller can be read. Raises nothing."""
    try:
        paths = parse_memberships((proc / "self" / "cgroup").read_text())
        mounts = parse_mounts((proc / "self" / "mountinfo").read_text())
    except OSError:
        return None
    own_pid_namespace = _namespace(proc, "pid") not in {"", _FIRST_PID_NAMESPACE}
    own_cgroup_namespace = _namespace(proc, "cgroup") not in {"", _FIRST_CGROUP_NAMESPACE}
    own_namespace = own_pid_namespace or own_cgroup_namespace
    position = _position_v1(paths, mounts, own_cgroup_namespace=own_cgroup_namespace) or _position_v2(paths, mounts)
    if position is None:
        return None
    return msgspec.structs.replace(position, own_namespace=own_namespace, has_own_limit=_has_own_limit(position))


def read_members(position: Position) -> list[int]:
    """Return the processes in the cgroup, without those of cgroups below it; empty if it no longer exists."""
    try:
        return [int(line) for line in (position.memory_folder / "cgroup.procs").read_bytes().split()]
    except OSError:
        return []


def memory_limit_bytes(position: Position) -> int | None:
    """Return the lowest memory limit from the cgroup upwards, as far as we can see; None if there is none."""
    if position.version == "v1":
        text = _text(position.memory_folder / "memory.stat")
        found = re.search(r"^hierarchical_memory_limit (\d+)$", text, re.MULTILINE)
        return int(found[1]) if found and int(found[1]) < _NO_LIMIT else None
    limits = [_text(folder / "memory.max").strip() for folder in _upwards(position, "memory")]
    return min((int(limit) for limit in limits if limit.isdigit()), default=None)


def cpu_limit_cores(position: Position) -> float | None:
    """Return the lowest CPU quota from the cgroup upwards, in cores; None if there is none."""
    quotas = [cpu_limit_of(folder) for folder in _upwards(position, "cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def cpu_limit_of(folder: Path) -> float | None:
    """Return the CPU quota that is set on this cgroup itself, in cores; None if there is none."""
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
    # -1 on v1, max on v2: no limit
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _position_v1(paths: dict[str, str], mounts: list[Mount], *, own_cgroup_namespace: bool) -> Position | None:
    folders, tops, limit_folders = {}, {}, {}
    is_root = False
    for controller in _CONTROLLERS:
        mount = next((mount for mount in mounts if not mount.is_v2 and controller in mount.controllers), None)
        folder = folder_of(mount, paths[controller]) if mount and controller in paths else None
        if mount is None or folder is None or not folder.is_dir():
            continue
        tops[controller], limit_folders[controller] = mount.point, folder
        if paths[controller] == paths.get("memory"):
            folders[controller] = folder
        if controller == "memory":
            is_root = paths[controller] == "/" and mount.root == "/" and not own_cgroup_namespace
    if "memory" not in folders:
        return None
    return Position(
        version="v1", path=paths["memory"], folders=folders, tops=tops, limit_folders=limit_folders, is_root=is_root
    )


def _position_v2(paths: dict[str, str], mounts: list[Mount]) -> Position | None:
    mount = next((mount for mount in mounts if mount.is_v2), None)
    folder = folder_of(mount, paths[""]) if mount and "" in paths else None
    if mount is None or folder is None or not folder.is_dir():
        return None
    is_root = not (folder / "memory.current").exists() and folder == mount.point
    if not is_root and not (folder / "memory.current").exists():
        return None  # the memory controller is not enabled for us
    everywhere = dict.fromkeys(_CONTROLLERS, folder)
    tops = dict.fromkeys(_CONTROLLERS, mount.point)
    return Position(version="v2", path=paths[""], folders=everywhere, tops=tops, limit_folders=everywhere, is_root=is_root)


def _has_own_limit(position: Position) -> bool:
    folder = position.memory_folder
    if position.version == "v2":
        return _text(folder / "memory.max").strip().isdigit()
    limit = _text(folder / "memory.limit_in_bytes").strip()
    return limit.isdigit() and int(limit) < _NO_LIMIT


def _upwards(position: Position, controller: str) -> Iterator[Path]:
    """Yield the folder where our limits begin and those above it, up to the mount point."""
    folder, top = position.limit_folders.get(controller), position.tops.get(controller)
    while folder is not None and top is not None:
        yield folder
        if folder == top or top not in folder.parents:
            return
        folder = folder.parent


def _namespace(proc: Path, name: str) -> str:
    try:
        return str((proc / "self" / "ns" / name).readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _unescape(path: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), path)
