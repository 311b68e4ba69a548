"""Many writers on one bucket: pushes are killed, requests refused, answers lost. The long form: `scripts/prove publish`."""

import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buildjob.buildcache import layout, push_record
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import in_parallel
from tests.labs.build_cache import add_entry, consistent, expected, installs
from tests.labs.pushers import pusher
from tests.labs.s3.relay import Decide, Fate, relay
from tests.labs.s3.server import Server

_TOO_LONG_SECONDS = 3600.0


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How many writers there are, and how much goes wrong."""

    writers: int
    pushes: int
    """Of each writer, one after the other."""
    binaries: int
    """Of each push."""
    kills: int
    """At most, of each push; its last try is not killed."""
    faults: float = 0.02
    """The share of requests answered with 500 or 503; a quarter as many are done, but their answers lost."""
    within_seconds: float = 3.0
    """A push is killed within this time after its start."""


class Tally(msgspec.Struct, kw_only=True):
    """What one storm did, counted as it happens."""

    kills: int = 0
    failures: int = 0
    """Pushes that gave up by themselves and were run again."""
    refused: int = 0
    lost: int = 0
    requests: int = 0
    binaries: int = 0
    strays: int = 0
    """Blobs that nothing names: indexes of updates that were killed."""
    seconds: float = 0.0
    problem: str = ""
    """The first fault in the result; empty if there is none."""


def storm(server: Server, folder: Path, weather: Weather, choose: random.Random) -> tuple[Tally, Store]:
    """Run all writers against a fresh bucket; return what happened, and the build cache."""
    tally = Tally()
    everything: dict[str, list[str]] = {}
    for writer, push, number in itertools.product(range(weather.writers), range(weather.pushes), range(weather.binaries)):
        name = f"w{writer}-{push}-{number}"
        everything[name] = ["gmake", f"lib{number}"]
        add_entry(folder / f"{writer}-{push}", name, everything[name])
    url = f"s3://{server.bucket()}/storm"
    begun = time.monotonic()
    with relay(server, _fates(weather, choose.randrange(1 << 30), tally)) as front:
        writers = []
        for writer in range(weather.writers):
            folders = [folder / f"{writer}-{push}" for push in range(weather.pushes)]
            work = (folders, url, front, weather, choose.randrange(1 << 30), tally)
            writers.append(threading.Thread(target=_write, args=work))
        for each in writers:
            each.start()
        for each in writers:
            each.join()
    tally.seconds = time.monotonic() - begun
    store = server.store(url)
    tally.problem = tally.problem or _problem(store, everything, tally)
    return tally, store


def _write(folders: list[Path], url: str, front: Server, weather: Weather, seed: int, tally: Tally) -> None:  # noqa: PLR0917
    """Push one folder after the other, each until a push succeeds."""
    choose = random.Random(seed)
    with pusher({"HOME": "/nonexistent", "SPACK_FARM_PUBLISH_PATH_STYLE": "true", **front.environment}) as program:
        for folder in folders:
            arguments = ["push", str(folder), url, "--unsigned", "--connections", "2"]
            kills = choose.randint(0, weather.kills)
            deadline = time.monotonic() + _TOO_LONG_SECONDS
            code: int | None = None
            while code != 0:
                program.start(arguments, {})
                code = program.wait(choose.uniform(0, weather.within_seconds) if kills else None)
                kills -= kills > 0
                if code is None:
                    program.kill()
                    tally.kills += 1
                    code = program.wait()
                if code == 100:
                    tally.failures += 1
                elif code not in {-signal.SIGKILL, 0} or time.monotonic() > deadline:
                    tally.problem = f"a push ended with {code}:\n{program.stderr()}"
                    return


def _fates(weather: Weather, seed: int, tally: Tally) -> Decide:
    choose, one_at_a_time = random.Random(seed), threading.Lock()

    def decide() -> Fate:
        with one_at_a_time:
            dice = choose.random()
            tally.requests += 1
            tally.refused += dice < weather.faults
            tally.lost += weather.faults <= dice < 1.25 * weather.faults
        if dice < weather.faults:
            return "refused with 500" if dice < weather.faults / 2 else "refused with 503"
        return "answer lost" if dice < 1.25 * weather.faults else "passed on"

    return decide


def _problem(store: Store, everything: dict[str, list[str]], tally: Tally) -> str:
    """Return the first fault that is left after the last writer has ended, or ""."""
    tally.binaries = consistent(store)
    if tally.binaries != len(everything):
        return f"{tally.binaries} binaries are there, and {len(everything)} were pushed"
    ours, theirs = installs(store), expected(everything)
    if ours != theirs:
        wrong = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        return f"the index differs in {len(wrong)} entries, the first is {wrong[0]}"
    if left := len(list(push_record.pending(store))):
        return f"{left} announcements were left"
    tally.strays = _strays(store)
    return ""


def _strays(store: Store) -> int:
    blobs = {seen.key for seen in store.list(layout.BLOBS)}
    keys = (seen.key for seen in store.list("v3/manifests/"))
    for _, stored in in_parallel(keys, store.read, workers=4):
        blobs -= set(_named(stored.data))
    return len(blobs - {layout.blob(seen.key.removeprefix(layout.REPLACED)) for seen in store.list(layout.REPLACED)})


def _named(text: bytes) -> Iterator[str]:
    for row in msgspec.json.decode(text)["data"]:
        yield layout.blob(row["checksum"])
