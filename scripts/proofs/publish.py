"""Proves that an index never loses an entry: many writers on one bucket, killed and refused, round after round.

    scripts/prove publish [--rounds N] [--writers N] [--binaries N] [--seed N] [--page FILE]

On versitygw (scripts/get-s3). After each round every binary must be there and whole, and the index must have all of them
and nothing else; after the last one the index must equal what stock Spack makes of the bucket. FILE (default:
docs/proofs/publish.md) is written after each round. Exit codes: 0 proven · 1 not · 2 this machine can't try.
"""

import argparse
import datetime as dt
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from buildjob.buildcache.storage.store import Store
from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import find
from scripts import proof_page
from tests.labs.build_cache import installs
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server, versitygw
from tests.labs.spack.lab import SpackLab, mirror_in_s3
from tests.labs.storm import Tally, Weather, storm

PAGE = ROOT / "docs" / "proofs" / "publish.md"
_PUSHES = 2


def main() -> int:
    """Run the rounds, write the page."""
    parser = argparse.ArgumentParser(prog="scripts/prove publish", description="Many writers on one bucket.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--binaries", type=int, default=200, help=f"of each writer, in {_PUSHES} pushes")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--page", metavar="FILE", type=Path, default=PAGE, help="write the table to this file")
    asked = parser.parse_args()
    got = subprocess.run([ROOT / "scripts" / "get-s3"], stdout=subprocess.PIPE, text=True, check=False)
    if got.returncode:
        return 2
    weather = Weather(writers=asked.writers, pushes=_PUSHES, binaries=asked.binaries // _PUSHES, kills=2, within_seconds=8.0)
    commit = proof_page.commit()  # the pushes are programs of this checkout: it must stay as it is meanwhile
    tallies: list[Tally] = []
    equal = "not compared yet"
    with tempfile.TemporaryDirectory(prefix="spack-farm-proof-") as folder:
        place = Path(folder)
        (place / "s3").mkdir()
        with versitygw(Path(got.stdout.strip()), place / "s3") as server:
            os.environ.update({name: value for name, value in server.environment.items() if not name.endswith("_URL")})
            for turn in range(asked.rounds):
                choose = random.Random(asked.seed + turn)  # noqa: S311  it is to be repeatable
                tally, store = storm(server, place / f"round-{turn}", weather, choose)
                tallies.append(tally)
                shutil.rmtree(place / f"round-{turn}")
                if turn == asked.rounds - 1 and not tally.problem:
                    equal = _spacks_own(server, store, place)
                text = page(tallies, weather, asked.seed, equal, commit=commit)
                asked.page.parent.mkdir(parents=True, exist_ok=True)
                asked.page.write_text(text)
                print(f"round {turn + 1}: {tally.problem or 'nothing lost'}, {tally.seconds:.0f} s", flush=True)
                if tally.problem:
                    return 1
    print(page(tallies, weather, asked.seed, equal, commit=commit))
    return 0 if equal == "equal" else 1


def _spacks_own(server: Server, store: Store, place: Path) -> str:
    """Have stock Spack rebuild the index; return how the two compare."""
    ours = installs(store)
    try:
        spack = find("", os.environ, from_environment(os.environ))
    except SpackError as error:
        return f"not compared: {error}"
    (place / "lab").mkdir()
    lab = SpackLab(place / "lab", spack)
    scope = mirror_in_s3(place / "scope", store.url, server)
    environment = server.environment | {"MY_S3_SECRET": server.environment["AWS_SECRET_ACCESS_KEY"]}
    done = lab.stock_spack(
        "buildcache", "update-index", "farm", scopes=[scope], environment=environment, timeout=3600
    )  # fmt: skip
    if done.returncode:
        return f"not compared: update-index ended with {done.returncode}: {done.stderr[-500:]}"
    theirs = installs(store)
    return "equal" if theirs == ours else "NOT equal"


def page(tallies: Sequence[Tally], weather: Weather, seed: int, equal: str, *, commit: str) -> str:
    """Return the page: a row for each round."""
    rows = [
        f"| {turn} | {each.binaries} | {each.kills} | {each.refused} | {each.lost} | {each.failures} | {each.requests} "
        f"| {each.strays} | {each.seconds:.0f} | {each.problem or 'none'} |"
        for turn, each in enumerate(tallies, 1)
    ]
    each = weather.pushes * weather.binaries
    return f"""# Many writers, one bucket

{weather.writers} writers push {each} binaries each to one mirror on versitygw, in {weather.pushes} pushes, all at once,
through a server that answers {weather.faults:.0%} of all requests with 500 or 503, and {weather.faults / 4:.1%} not at all.
Each push is killed (KILL) up to {weather.kills} times at a random instant and run again. After each round every manifest and
every blob is read, and the index compared with what it must be. Made by `scripts/prove publish --seed {seed}`; don't edit.

- Commit {commit}, {dt.datetime.now(dt.UTC):%Y-%m-%d}; {os.cpu_count()} cores.
- The last round's index and the one that stock Spack's `buildcache update-index` then made, entry by entry: {equal}.

"Stray" are index blobs whose update was killed before it could name them: `publish prune` deletes them.

| round | binaries | kills | 500, 503 | lost answers | gave up, run again | requests | stray blobs | s | lost |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    sys.exit(main())
