"""The same small jobs under the official executor and ours: where outcomes differ, and whether the docs say why."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from tests.labs.cluster import debian_packages
from tests.labs.cluster.cluster import Cluster
from tests.labs.cluster.odd_images import write_odd_images
from tests.labs.cluster.parts import NODE_ADDRESS
from tests.labs.farm.compat_jobs import PAGE, SETTINGS, Places, compat_jobs, documented
from tests.labs.farm.farm import Coordinator, Job, plain, running_farm
from tests.labs.farm.network import listener_inside
from tests.labs.farm.repository import publish_examples
from tests.labs.registry import Registry, make_certificate

_AT_ONCE = 8
_SECONDS = 300.0


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job, as far as it is compared."""

    state: str
    reason: str
    exit_code: int
    printed: list[str]
    seconds: float = 0.0
    message: str = ""
    """The log's last line about an error."""

    def differs(self, official: "Outcome") -> bool:
        """Return whether users would notice. Only a custom executor's failures always have an exit code."""
        if (self.state, self.reason, self.printed) != (official.state, official.reason, official.printed):
            return True
        return self.exit_code != official.exit_code != 0

    def text(self) -> str:
        """Return it in a line."""
        code = f" {self.exit_code}" if self.exit_code else ""
        printed = " / ".join(self.printed[:6])
        message = f" {self.message[:200]}" if self.message else ""
        return f"{self.state}{code}{' ' + self.reason if self.reason else ''} [{printed[:160]}]{message}"


def compare(cluster: Cluster, folder: Path, *, only: list[str]) -> int:
    """Run the jobs and print where they differ; return how many differences the page does not name."""
    archive, certificate = cluster.home / "images" / "busybox.tar", make_certificate(folder)
    images = folder / "images"
    images.mkdir()
    for path in write_odd_images(images, debian_packages.unpacked(), only=only):
        cluster.load(path)
    loopback = listener_inside(cluster.init, address="127.0.0.1")
    outside = listener_inside(cluster.init, address=NODE_ADDRESS)
    names = frozenset(
        f"{side}/{name}" for side in ("ours", "official") for name in ("team/app", "private/app", "private/other")
    )
    with (
        Registry(archive, listener=loopback, names=names) as registry,
        Registry(archive, listener=outside, names=names, certificate=certificate) as untrusted,
        running_farm(cluster, folder, namespace="default", pull_policy="if-not-present", more=SETTINGS) as farm,
    ):
        source = publish_examples(folder / "repositories", farm.gitlab.url)

        def run(side: str, gitlab: Coordinator) -> dict[str, Outcome]:
            places = Places(f"{registry.address}/{side}", f"{untrusted.address}/{side}", registry.login, source)
            return _outcomes(gitlab, {name: job for name, job in compat_jobs(places).items() if not only or name in only})

        with ThreadPoolExecutor(2) as pool:  # most jobs wait for something most of the time
            ours, official = pool.map(run, ("ours", "official"), (farm.gitlab, farm.official))
    named = documented(PAGE.read_text("utf-8"))
    differing = [name for name in ours if ours[name].differs(official[name])]
    print(f"{len(ours)} jobs under both executors; {len(differing)} end differently")
    for name in differing:
        print(f"\n{name}{'' if name in named else '   NOT in docs/executor.md'}")
        print(f"  official {official[name].seconds:5.1f} s: {official[name].text()}")
        print(f"  ours     {ours[name].seconds:5.1f} s: {ours[name].text()}")
    print()
    for name in ours:
        if name not in differing:
            print(f"alike: {name}: {ours[name].text()}")
    for name in named:
        if name in ours and name not in differing:
            print(f"\n{name}: docs/executor.md names it, and it is the same: {ours[name].text()}")
    return sum(name not in named for name in differing)


def _outcomes(gitlab: Coordinator, jobs: dict[str, dict[str, Any]]) -> dict[str, Outcome]:
    """Run jobs on one side, a few at a time."""
    found: dict[str, Outcome] = {}
    waiting, running = list(jobs.items()), dict[str, Job]()
    while waiting or running:
        while waiting and len(running) < _AT_ONCE:
            name, job = waiting.pop(0)
            running[name] = gitlab.submit(job)
        for name, one in list(running.items()):
            is_late = one.handed_out_at is not None and time.time() - one.handed_out_at > _SECONDS
            if one.end is not None or is_late:
                found[name] = _outcome(running.pop(name))
        time.sleep(0.1)
    return found


def _outcome(job: Job) -> Outcome:
    printed = [line[1:] for line in plain(job.text).splitlines() if line.startswith("@")]
    if job.end is None:
        job.cancel(gracefully=False)
        return Outcome("no end", "", 0, printed, _SECONDS)
    seconds = (job.ended_at or 0) - (job.handed_out_at or 0)
    shown = printed if len(printed) < 100 else [f"{len(printed)} lines", printed[0], printed[-1]]
    shown += [f"artifact {one.name}" for one in job.artifacts]
    errors = [line for line in plain(job.text).splitlines() if line.startswith("ERROR: ") and "Job failed" not in line]
    errors = errors or [line for line in plain(job.text).splitlines() if line.startswith("ERROR: ")]
    return Outcome(job.end.state, job.end.reason, job.end.exit_code, shown, seconds, "".join(errors[-1:]))
