"""What publishing costs beside Spack's own: 1,000 small binaries, and one more in a build cache with many.

    scripts/bench publish [--quick] [--only large|agent|small|more]

On versitygw (scripts/get-s3), so that no network hides the cost of the programs. Both sides start from the same installed
prefixes; Spack writes the tarballs for both; a column of its own has that cost.
"""

import argparse
import datetime as dt
import hashlib
import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from buildjob.buildcache import documents, layout, push
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.buildcache.workers import in_processes
from buildjob.paths import from_environment
from buildjob.spack.find import find
from tests.labs.build_cache import add_entry, as_it_is, dag_hash, installs, nodes_of
from tests.labs.checkout import ROOT
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server, versitygw
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, mirror_in_s3, read_telemetry

_SIZES = (1_000, 50)
"""Small binaries on both sides; with --quick."""
_MIRRORS = (10_000, 300)
"""Binaries on the mirror to which one is added, on both sides."""
_LARGE = (100_000, 20_000)
"""Entries of an index to which one is added, ours alone."""
_ROUNDS = (5, 1)
"""Of the agent: the median counts."""

_INSTALL = """
import json, secrets, sys
import spack.spec, spack.store
count = int(sys.argv[1])
db, layout = spack.store.STORE.db, spack.store.STORE.layout
pattern = db.query("libhello")[0].to_dict()
hashes = []
with db.write_transaction():
    for number in range(count):
        made = json.loads(json.dumps(pattern))
        made["spec"]["nodes"][0]["version"] = f"2.{number}"
        made["spec"]["nodes"][0]["hash"] = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(32))
        spec = spack.spec.Spec.from_dict(made)
        layout.create_install_directory(spec)
        with open(spec.prefix + "/tiny", "w") as file:
            file.write(str(number) * 2000)
        db.add(spec)
        hashes.append("/" + spec.dag_hash())
print("HASHES " + " ".join(hashes))
"""
_PROGRAM = """
import sys
sys.argv = ["spack-farm", *sys.argv[2:]]
from buildjob.cli.publish import main
code = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
sys.exit(code)
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured."""

    what: str
    ours_seconds: float
    spack_seconds: float | None = None
    requests: int | None = None
    peak_mib: int | None = None


class Bench:
    """A server, a Spack and a key; and the programs on both sides."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self._spack = find("", os.environ, from_environment(os.environ))
        self.lab: SpackLab
        """That of the part that is measured."""
        self.key = Key(folder / "k")
        self.environment = server.environment | {"MY_S3_SECRET": server.environment["AWS_SECRET_ACCESS_KEY"]}

    def new_lab(self, name: str) -> SpackLab:
        """Return a laboratory in which nothing is installed."""
        (self.folder / name).mkdir()
        return SpackLab(self.folder / name, self._spack)

    def timed(self, argv: Sequence[str | Path], environment: dict[str, str]) -> tuple[float, str]:
        """Run a program, which must succeed; return its seconds and its output."""
        begun = time.monotonic()
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, env=environment)
        seconds = time.monotonic() - begun
        if done.returncode:
            raise SystemExit(f"scripts/bench: {argv[:4]} ended with {done.returncode}\n{done.stderr[-2000:]}")
        return seconds, done.stdout

    def ours(self, *arguments: str | Path, server: Server | None = None) -> tuple[float, int]:
        """Run `spack-farm publish`; return seconds and its peak in MiB."""
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent",
            "SPACK_FARM_PUBLISH_PATH_STYLE": "true", **(server or self.server).environment,
        }  # fmt: skip
        seconds, printed = self.timed([sys.executable, "-c", _PROGRAM, "publish", *arguments], environment)
        return seconds, int(printed.split()[-1]) >> 10

    def spack(self, *arguments: str | Path, scopes: Sequence[Path] = ()) -> tuple[float, str]:
        """Run stock Spack; return seconds and its output."""
        begun = time.monotonic()
        done = self.lab.stock_spack(*arguments, scopes=scopes, environment=self.environment, timeout=7200)
        seconds = time.monotonic() - begun
        if done.returncode:
            raise SystemExit(f"scripts/bench: spack {arguments[:3]} ended with {done.returncode}\n{done.stderr[-2000:]}")
        return seconds, done.stdout


def many_small(bench: Bench, count: int) -> list[Row]:
    """Take the same prefixes to a signed, indexed, verified mirror, by Spack and by us."""
    built = bench.lab.build("libhello", "--out", bench.folder / "first", timeout=1000)
    if built.returncode:
        raise SystemExit(built.stderr)
    script = bench.folder / "install.py"
    script.write_text(_INSTALL)
    _, printed = bench.spack("python", script, str(count))
    hashes = re.findall(r"/[a-z2-7]{32}", printed[printed.index("HASHES") :])
    unsigned = bench.folder / "unsigned"
    tarballs, _ = bench.spack("buildcache", "push", "--unsigned", "--only", "package", unsigned.as_uri(), *hashes)

    theirs_url, our_url = (f"s3://{bench.server.bucket()}/small" for _ in range(2))
    scope = mirror_in_s3(bench.folder / "theirs", theirs_url, bench.server)
    (scope / "config.yaml").unlink()  # its installed packages are the lab's
    bench.spack("gpg", "trust", bench.key.secret)
    pushed, _ = bench.spack("buildcache", "push", "--only", "package", "farm", *hashes, scopes=[scope])
    indexed, _ = bench.spack("buildcache", "update-index", "farm", scopes=[scope])
    verified, _ = bench.ours("verify", theirs_url, "--trust", bench.key.public)

    sent, peak = bench.ours("push", unsigned, our_url, "--signing-key-file", bench.key.secret)
    plain, _ = bench.ours("push", unsigned, f"{our_url}-plain", "--unsigned")
    seen, _ = bench.ours("verify", our_url, "--trust", bench.key.public)
    equal = _cached(bench.server.store(our_url)) == _cached(bench.server.store(theirs_url))
    if not equal:
        raise SystemExit("scripts/bench: the two indices name different binaries")
    return [
        Row(what=f"{count:,} small binaries: tarballs, by Spack for both", ours_seconds=tarballs, spack_seconds=tarballs),
        Row(
            what=f"{count:,} small binaries: sign, send, index", ours_seconds=sent,
            spack_seconds=pushed - tarballs + indexed, peak_mib=peak,
        ),
        Row(what=f"{count:,} small binaries: the same, unsigned", ours_seconds=plain),
        Row(what=f"{count:,} small binaries: verify (ours; Spack has none)", ours_seconds=seen, spack_seconds=verified),
        Row(
            what=f"{count:,} small binaries: the whole", ours_seconds=tarballs + sent + seen,
            spack_seconds=pushed + indexed + verified,
        ),
    ]  # fmt: skip


def _cached(store: Store) -> set[str]:
    return {key for key, entry in installs(store).items() if entry["in_buildcache"]}


def one_from_the_agent(bench: Bench, rounds: int) -> list[Row]:
    """Have the agent build one package; return the time from the end of its build to the message that it is published."""
    bench.lab.build("libhello", "--out", bench.folder / "needed", timeout=1000)
    took, sending = zip(*(_agent_round(bench, number) for number in range(rounds)), strict=True)
    return [
        Row(what="one binary from the agent: pack, sign, send, index", ours_seconds=statistics.median(took)),
        Row(what="one binary from the agent: of that, sign, send, index", ours_seconds=statistics.median(sending)),
    ]


def _agent_round(bench: Bench, number: int) -> tuple[float, float]:
    """Build and publish to a fresh mirror; return seconds from the build's end to the message, and of those for sending."""
    bench.lab.forget("hello-app")
    out = bench.folder / f"agent-{number}"
    arguments = ("hello-app", "--mirror", f"s3://{bench.server.bucket()}/agent", "--signing-key-file", bench.key.secret)
    argv = bench.lab.agent_argv(*arguments, "--out", out)
    at = 0.0
    output = ""
    with subprocess.Popen(
        argv, env=bench.lab.environment | bench.environment, cwd=bench.folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as agent:  # fmt: skip
        assert agent.stdout
        for line in agent.stdout:
            output += line
            if ": published to " in line:
                at = time.time()
    if agent.returncode or not at:
        raise SystemExit(f"scripts/bench: the agent ended with {agent.returncode}\n{output[-2000:]}")
    document = read_telemetry(out, "hello-app")
    assert document.publish
    ended = dt.datetime.fromisoformat(document.ended_at).timestamp()
    return at - ended, document.publish.wall_seconds


def one_more(bench: Bench, count: int, *, with_spack: bool) -> Row:
    """Add one signed binary to a build cache of a given size; beside it, Spack's update-index of the same one."""
    store = bench.server.store(f"s3://{bench.server.bucket()}/many")
    _fill(store, bench.folder / f"index-{count}", count, with_manifests=with_spack)
    for name in ("warm", "counted", "timed"):
        add_entry(bench.folder / f"{name}-{count}", f"{name}-{count}", ["gmake"])
    push.publish(bench.folder / f"warm-{count}", store, sign=as_it_is)
    requests: list[str] = []

    def count_it(request: Any) -> bool:
        requests.append(request.command)
        return False

    signing = ("--signing-key-file", bench.key.secret)
    with in_front_of(bench.server, count_it) as front:
        bench.ours("push", bench.folder / f"counted-{count}", store.url, *signing, server=front)
    seconds, peak = bench.ours("push", bench.folder / f"timed-{count}", store.url, *signing)
    theirs = None
    if with_spack:
        scope = mirror_in_s3(bench.folder / f"scope-{count}", store.url, bench.server, signed=False)
        theirs, _ = bench.spack("buildcache", "update-index", "farm", scopes=[scope])
    what = f"one binary more on a mirror with {count:,}: sign, send, index"
    return Row(what=what, ours_seconds=seconds, spack_seconds=theirs, requests=len(requests), peak_mib=peak)


def _fill(store: Store, path: Path, count: int, *, with_manifests: bool) -> None:
    """Put an index of `count` made-up binaries into the build cache, and for Spack their manifests and specs."""
    digest = hashlib.sha256()
    gmake, glibc = nodes_of("gmake")
    with path.open("wb") as file:

        def add(text: str) -> None:
            digest.update(text.encode())
            file.write(text.encode())

        add('{"database":{"version":"8","installs":{')
        for number in range(count):
            node = nodes_of(f"p{number}", ["gmake"])[0]
            node["parameters"]["cflags"] = ["-O2"] * 80  # as large as Spack's are, 1.2 KB
            entry = {"spec": node, "ref_count": 0, "in_buildcache": True}
            add(f'"{dag_hash(f"p{number}")}":{json.dumps(entry)},')
        for node, needed in ((gmake, count), (glibc, count + 1)):
            entry = {"spec": node, "ref_count": needed, "in_buildcache": False}
            add(f'"{node["hash"]}":{json.dumps(entry)}' + ("," if node is gmake else "}}}"))
    blob = LocalFile(path=path, size_bytes=path.stat().st_size, sha256=digest.hexdigest())
    store.upload(layout.blob(blob.sha256), blob)
    store.write(layout.INDEX, documents.manifest_text(blob, media_type=layout.INDEX_MEDIA_TYPE))
    path.unlink()
    if not with_manifests:
        return

    def writer() -> Callable[[str], int]:
        own = store.reopened()

        def one(name: str) -> int:
            folder = Path(tempfile.mkdtemp(dir=path.parent))
            key = add_entry(folder, name, ["gmake"])
            files = [file for file in folder.rglob("*") if file.is_file()]
            for file in files:
                own.write(file.relative_to(folder).as_posix(), file.read_bytes())
            assert (folder / key).is_file()
            shutil.rmtree(folder)
            return len(files)

        return one

    written = sum(
        each for _, each in in_processes((f"p{number}" for number in range(count)), writer, processes=2, threads=4)
    )
    assert written == 3 * count


_PARTS: dict[str, Callable[[Bench, int], list[Row]]] = {
    "large": lambda bench, quick: [one_more(bench, _LARGE[quick], with_spack=False)],
    "agent": lambda bench, quick: one_from_the_agent(bench, _ROUNDS[quick]),
    "small": lambda bench, quick: many_small(bench, _SIZES[quick]),
    "more": lambda bench, quick: [one_more(bench, _MIRRORS[quick], with_spack=True)],
}


def main() -> int:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench publish")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=_PARTS, action="append", help="this part; may be given several times")
    asked = parser.parse_args()
    got = subprocess.run([ROOT / "scripts" / "get-s3"], stdout=subprocess.PIPE, text=True, check=False)
    if got.returncode:
        return 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="spack-farm-bench-") as folder:
        place = Path(folder)
        (place / "s3").mkdir()
        with versitygw(Path(got.stdout.strip()), place / "s3") as server:
            os.environ.update({name: value for name, value in server.environment.items() if not name.endswith("_URL")})
            bench = Bench(place, server)
            for name in dict.fromkeys(asked.only or _PARTS):
                # of its own: what one part installs, another would reuse, as the made-up packages of "small"
                bench.lab = bench.new_lab(f"lab-{name}")
                rows += (found := _PARTS[name](bench, int(asked.quick)))
                _tell(found)
    print(json.dumps({"bench": "publish", "id": secrets.token_hex(4), "rows": msgspec.to_builtins(rows)}))
    return 0


def _tell(rows: Sequence[Row]) -> None:
    for row in rows:
        theirs = (
            "" if row.spack_seconds is None else f"{row.spack_seconds:9.1f} {row.spack_seconds / row.ours_seconds:6.1f} ×"
        )
        print(
            f"{row.what:70} {row.ours_seconds:9.2f} s {row.requests or '':>5} {row.peak_mib or '':>5} {theirs}", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
