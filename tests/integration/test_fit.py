"""`spack-farm sizing fit`: from documents to the driver's table; what changes much needs a person's word."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.json import encode as encode_json

from executor.size_table import find_measured, read_table
from sizing.cli.fit import fitting
from sizing.errors import Overtaken, TooLarge
from sizing.fit import Fit
from sizing.observations import PolicySettings
from sizing.policies.tiers import rounded_bytes
from sizing.quantities import in_gib
from sizing.size_table import Row, decode, encode, pack
from sizing.targets.config_map import ConfigMap
from sizing.targets.file import File
from sizing.targets.s3 import Object
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server
from tests.labs.sizing import DAY, GIB, NOW, document, killed, rfc3339, upload

JOB = {
    "SPACK_JOB_SPEC_PKG_NAME": "hdf5", "SPACK_JOB_SPEC_PKG_VERSION": "1.14.5", "SPACK_JOB_SPEC_COMPILER_NAME": "gcc",
    "SPACK_JOB_SPEC_COMPILER_VERSION": "13.2.0", "SPACK_JOB_SPEC_ARCH": "linux-debian12-icelake", "SPACK_BUILD_JOBS": "4",
    "SPACK_JOB_SPEC_VARIANTS": "+mpi build_system=cmake", "SPACK_JOB_SPEC_DAG_HASH": "another",
}  # fmt: skip


class Farm:
    """A build cache with telemetry, a history and a table."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.history, self.table = folder / "mirror", folder / "h.sqlite", folder / "sizes.json"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}

    def upload(self, *documents: dict[str, Any], place: str = "protected") -> None:
        for number, made in enumerate(documents):
            made["job"]["id"] = f"{place}-{number}-{made['ended_at']}"
            upload(made, self.mirror, place=place)

    def __call__(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sizing", verb, *words, "--history", str(self.history)]
        return subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)

    def fit(self, *words: str, now: float = NOW) -> subprocess.CompletedProcess[str]:
        assert self("ingest", str(self.mirror)).returncode == 0
        return self("fit", "--output", str(self.table), "--now", rfc3339(now), *words)


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_the_driver_sizes_a_job_by_what_earlier_builds_used(farm: Farm) -> None:
    farm.upload(*(document(ended=NOW - day * DAY) for day in range(1, 7)), killed(at_bytes=12 * GIB))
    good(farm.fit())
    found = find_measured(read_table(farm.table), JOB)
    assert found is not None
    assert (found.memory_bytes or 0) >= 12 * GIB * 1.15
    assert found.memory_bytes == found.memory_limit_bytes
    assert (found.cpu_millicores, found.build_jobs) == (3000, 4)
    assert found.source == "7 builds of hdf5@1.14.5+mpi%gcc@13.2.0 target=x86_64 jobs=4, largest 12.0 GiB"


def test_the_same_history_gives_the_same_bytes(farm: Farm) -> None:
    farm.upload(*(document(ended=NOW - day * DAY) for day in range(1, 7)))
    good(farm.fit())
    first = farm.table.read_bytes()
    good(farm.fit())
    assert farm.table.read_bytes() == first
    good(farm("fit", "--output", f"{farm.table}.gz", "--now", rfc3339(NOW)))
    assert Path(f"{farm.table}.gz").read_bytes() == pack(first)


def test_a_poisoned_document_changes_nothing(farm: Farm, tmp_path: Path) -> None:
    farm.upload(*(document(ended=NOW - day * DAY) for day in range(1, 7)))
    good(farm.fit())
    before = farm.table.read_bytes()
    poison = document(totals={"memory_working_set_peak_bytes": 200 * GIB, "memory_anonymous_peak_bytes": 200 * GIB})
    farm.upload(poison, document("new", totals={"memory_working_set_peak_bytes": 1}), place="other")
    good(farm("ingest", f"{farm.mirror}/telemetry/v1/other"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.json").write_text(json.dumps(poison | {"outcome": "publish_failed"}))
    good(farm("ingest", str(tmp_path / "elsewhere")))
    farm.upload(poison | {"job": poison["job"] | {"ref_protected": False}})
    good(farm.fit())
    assert farm.table.read_bytes() == before


def test_a_table_that_changes_much_is_left_as_it_is_until_it_is_accepted(farm: Farm) -> None:
    farm.upload(*(document(ended=NOW - day * DAY) for day in range(1, 7)))
    good(farm.fit())
    before = farm.table.read_bytes()
    farm.upload(killed(at_bytes=60 * GIB, ended=NOW - DAY))
    refused = farm.fit()
    assert refused.returncode == 3
    assert "hdf5 would go from" in refused.stderr
    assert farm.table.read_bytes() == before
    good(farm.fit("--accept"))
    assert farm.table.read_bytes() != before


def test_what_is_there_and_is_no_table_is_not_replaced_unasked(farm: Farm) -> None:
    farm.upload(document())
    farm.table.write_text("precious")
    done = farm.fit()
    assert (done.returncode, farm.table.read_text()) == (3, "precious")
    assert "is not a size table" in done.stderr
    good(farm.fit("--accept"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--policy", "guess"), 2, "there is no policy 'guess'; there are: max_margin"),
        (("--prior", "/nonexistent.csv"), 2, "--prior /nonexistent.csv: can't be read"),
        (("--most-memory", "much"), 2, "--most-memory 'much' is not a quantity"),
        (("--margin", "90"), 2, "--margin is at least 100 percent"),
        (("--margin", "9" * 400), 2, "--margin is at most 10000 percent"),
        (("--window-days", "9" * 400), 2, "--window-days and --window-builds at most 1,000,000"),
        (("--window-builds", "1" + "0" * 30), 2, "--window-days and --window-builds at most 1,000,000"),
        (("--most-memory", "9999P"), 2, "--most-memory 9999P: no machine has more than 1024 TiB"),
        (("--most-memory", "1G", "--least-memory", "2G"), 2, "--least-memory 2G is above --most-memory 1G"),
        (("--now", "9999-12-31T23:59:59-23:59"), 2, "--now 9999-12-31T23:59:59-23:59: give a time"),
        (("--output", "/nonexistent/sizes.json"), 2, "give a file in a folder that exists"),
        (("--output", f"/{'n' * 300}/sizes.json"), 2, "give a file in a folder that exists"),
        (("--output", f"/{'n' * 300}"), 1, "File name too long"),
        (("--output", "s3://bucket"), 2, "s3://bucket: give s3://BUCKET/KEY"),
        (("--output", "gs://x/y"), 2, "give a file in a folder that exists"),
        ((), 1, "no sizes: the history has no trusted builds"),
    ],
)
def test_what_cannot_work_is_one_line(farm: Farm, words: tuple[str, ...], code: int, said: str) -> None:
    done = farm("fit", "--output", str(farm.table), *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert said in done.stderr
    assert not farm.table.exists()


@pytest.mark.parametrize("kubeconfig", ["", "[", "x", "clusters: []\ncurrent-context: a", "\x00"])
def test_without_access_to_a_cluster_a_config_map_is_a_bad_request(farm: Farm, tmp_path: Path, kubeconfig: str) -> None:
    farm.upload(document())
    if kubeconfig:
        (tmp_path / ".kube").mkdir()
        (tmp_path / ".kube/config").write_text(kubeconfig)
    done = farm("fit", "--config-map", "farm/sizes")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "--config-map: no access to a cluster: " in done.stderr


def test_a_link_leads_to_the_table_that_is_replaced(farm: Farm, tmp_path: Path) -> None:
    farm.upload(document())
    (tmp_path / "volume").mkdir()
    farm.table.symlink_to("volume/sizes.json")
    good(farm.fit())
    assert farm.table.is_symlink()
    assert decode((tmp_path / "volume/sizes.json").read_bytes())
    os.mkfifo(tmp_path / "pipe")
    done = farm("fit", "--output", str(tmp_path / "pipe"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "not a regular file" in done.stderr


def real_looking(packages: int, exact: int) -> Fit:
    """Return rows as builds give them, with hashes that do not compress: for each package its keys and some exact specs."""
    chance, rows, chains = random.Random(1), dict[str, Row](), dict[str, tuple[str, ...]]()

    def row(key: str, memory: float, count: int) -> Row:
        limit, seconds = rounded_bytes(int(memory), settings=PolicySettings()), round(chance.lognormvariate(5, 1), 1)
        return Row(
            cpu_millicores=100 * chance.randint(5, 40), memory_bytes=limit, memory_limit_bytes=limit,
            disk_bytes=chance.randint(1, 20) << 28, build_jobs=4, expected_seconds=seconds,
            p90_seconds=seconds if count == 1 else round(seconds * chance.uniform(1, 1.5), 1),
            ladder_memory_bytes=(2 * limit, 4 * limit, 8 * limit),
            samples=count, source=f"{count} builds of {key}, largest {in_gib(int(memory))}",
        )  # fmt: skip

    for number in range(packages):
        name = "".join(chance.choices("abcdefghijklmnop-", k=chance.randint(3, 10))) + str(number)
        version, need = f"{chance.randint(0, 12)}.{chance.randint(0, 30)}", chance.lognormvariate(21, 0.8)
        of = f"{name}@{version}"
        keys = (f"{of}+mpi%gcc@13.2.0 target=x86_64 jobs=4", f"{of}+mpi%gcc@13.2.0", f"{of}%gcc@13.2.0", of, name)
        rows |= {key: row(key, need, 3) for key in keys}
        for _ in range(exact):
            dag_hash = "/" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=32))
            rows[dag_hash] = row(dag_hash, need * chance.lognormvariate(-0.1, 0.08), 1)
            chains[dag_hash] = keys
    return Fit(rows=rows, chains=chains)


def test_fifty_thousand_keys_reach_the_driver_as_a_config_map_holds_them(tmp_path: Path) -> None:
    """Hashes do not compress: what a ConfigMap does not take of them is left out, and the next key's row counts."""
    whole = real_looking(2_500, 15)
    assert len(whole.rows) == 50_000
    api = InMemory()
    target = ConfigMap("farm/sizes", api=api)
    written, left_out = fitting(whole, target, lambda rows: encode(rows, policy="x", now=NOW))
    target.write(encode(written.rows, policy="x", now=NOW))
    path = tmp_path / "sizes.json.gz"
    path.write_bytes(target.read() or b"")
    assert 850 << 10 < path.stat().st_size <= 900 << 10, "as much as a config map takes"

    read = read_table(path)
    missing = whole.rows.keys() - read.sizes.keys()
    assert len(missing) == left_out > 0
    assert all(key.startswith("/") for key in missing)
    for key in [*whole.rows][::500]:
        found, own = written.found(key), whole.rows[key]
        assert found is not None
        assert json.loads(bytes(read.sizes[key if key in read.sizes else whole.chains[key][0]])) == json.loads(
            encode_json(found)
        )
        assert key not in missing or (found.memory_bytes or 0) >= (own.memory_bytes or 0), "rows that ask for more stay"


def test_a_table_that_no_config_map_takes_is_rejected_and_says_where_it_may_go() -> None:
    target = ConfigMap("farm/sizes", api=InMemory())
    target.most_bytes = 10_000
    found, left_out = fitting(real_looking(100, 1), target, lambda rows: encode(rows, policy="x", now=NOW))
    assert left_out == 100
    with pytest.raises(TooLarge, match=r"write it to a volume or to s3:// with --output"):
        target.write(encode(found.rows, policy="x", now=NOW))


def test_no_table_is_larger_than_its_readers_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = real_looking(20, 3)

    def encoded(rows: Mapping[str, Row]) -> bytes:
        return encode(rows, policy="x", now=NOW)

    assert fitting(whole, File(tmp_path / "t"), encoded) == (whole, 0)
    monkeypatch.setattr("sizing.cli.fit.LARGEST", len(encoded(whole.rows)) - 1_000)
    found, left_out = fitting(whole, File(tmp_path / "t"), encoded)
    assert 0 < left_out < 60
    assert len(encoded(found.rows)) <= len(encoded(whole.rows)) - 1_000


class InMemory:
    """The part of the Kubernetes client that is used, over one object."""

    def __init__(self) -> None:
        self.found: dict[str, Any] | None = None

    def read_namespaced_config_map(self, *_: str, **__: Any) -> Any:
        return SimpleNamespace(data=json.dumps(self.found))

    def create_namespaced_config_map(self, _: str, body: dict[str, Any], **__: Any) -> None:
        self.found = body


@pytest.mark.usefixtures("credentials")
def test_in_s3_only_the_table_that_was_read_is_replaced(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    url = f"s3://{s3.bucket()}/a/sizes.json.gz"
    content = encode({}, policy="x", now=NOW)
    one, two = Object(url), Object(url)
    assert (one.read(), two.read()) == (None, None)
    one.write(content)
    with pytest.raises(Overtaken, match="was replaced by another writer meanwhile: run this again"):
        two.write(content)
    assert two.read() == pack(content)
    two.write(encode({}, policy="y", now=NOW))
    with pytest.raises(Overtaken):
        one.write(content)
    assert decode(one.read() or b"") == {}
