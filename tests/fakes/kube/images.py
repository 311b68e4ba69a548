"""Container images of the fake cluster: a folder of programs each, linked to this machine's. Starts nothing."""

import contextlib
import dataclasses
import functools
import os
import shutil
import threading
from pathlib import Path
from typing import Any

_OURS = (Path(__file__).resolve().parent.parent / "gitlab-runner", Path(__file__).resolve().parent / "eat-memory")
_SEARCHED = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


@dataclasses.dataclass
class Image:
    """One image, and how its pulls end."""

    folder: Path
    """Its programs, once they are laid out."""
    hidden: tuple[str, ...] = ()
    """Programs of this machine that are not in it."""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    """What its configuration sets in its containers."""
    entrypoint: list[str] = dataclasses.field(default_factory=list)
    home: str = ""
    """HOME of its containers; "" gives each its own."""
    runner_version: str = "19.4.0"
    """The version that its gitlab-runner prints."""
    start_delay_seconds: float = 0
    """How long its containers run before their first process does anything."""
    pull_errors: list[str] = dataclasses.field(default_factory=list)
    """The errors of the next pulls; the pull after them succeeds."""
    pull_may_end: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set where the image is on the node already; a pull lasts until it is."""
    create_errors: list[str] = dataclasses.field(default_factory=list)
    """The errors of the next attempts to create its containers."""

    @functools.cached_property
    def bin(self) -> Path:
        """The only folder of PATH in its containers, laid out when it is first used."""
        with _laying_out:
            self.folder.mkdir(parents=True, exist_ok=True)
            for own in _OURS:
                if own.name not in self.hidden:
                    _link(self.folder / own.name, str(own))
            if "bash" in self.hidden and "sh" not in self.hidden:
                _link(self.folder / "sh", shutil.which("dash") or "/bin/sh")
            for place in _SEARCHED:
                for program in os.scandir(place) if Path(place).is_dir() else ():
                    if program.name not in self.hidden:
                        _link(self.folder / program.name, program.path)
            return self.folder


class Images:
    """The registry: images by their names. All have this machine's programs but what is hidden in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.by_name: dict[str, Image] = {}
        hidden = {"dash": ("bash",), "norunner": ("gitlab-runner",), "noshell": ("sh", "bash")}
        for name in ("busybox", "bash", *hidden):
            self.add(f"localhost/{name}:1", hidden=hidden.get(name, ()))

    def add(self, name: str, **what: Any) -> Image:
        """Add an image; see Image. With `is_slow` its pulls last until `pull_may_end` is set."""
        is_slow = what.pop("is_slow", False)
        made = Image(self._folder / name.replace("/", "_").replace(":", "_"), **what)
        if not is_slow:
            made.pull_may_end.set()
        self.by_name[name] = made
        return made


_laying_out = threading.Lock()


def _link(path: Path, target: str) -> None:
    with contextlib.suppress(FileExistsError):
        path.symlink_to(target)
