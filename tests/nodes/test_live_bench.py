"""`scripts/bench autoscaler --live`, small: both sides start and run a pipeline's jobs; its last line and its page."""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoscaler.simulator.workload import JobSpec, Pipeline
from autoscaler.snapshot import Size
from scripts import proof_page
from scripts.benches import autoscaler as bench
from scripts.benches.parts import autoscaler_live
from scripts.benches.parts.autoscaler_live import Fixed, Live, measured

COMPRESS = 60.0
SIZE = Size(cpu_millicores=1500, memory_bytes=2 << 30)
JOBS = tuple(JobSpec(name, name, needs, SIZE, 120.0) for name, needs in (("a", ()), ("b", ("a",)), ("c", ("a",))))


@pytest.mark.timeout(400)
def test_both_sides_run_a_pipeline_and_the_page_shows_their_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole: `scripts/bench autoscaler --live`, whose result is docs/proofs/autoscaler-live-nodes.md."""
    sides = "karpenter", "ours"
    for side in sides:
        (tmp_path / side).mkdir()
    with ThreadPoolExecutor(2) as pool:  # beside each other: most of it is waiting

        def run(side: str) -> Live:
            return measured(side, JOBS, tmp_path / side, compress=COMPRESS, sample=Fixed(0.5, 0.5))

        found = dict(zip(sides, pool.map(run, sides), strict=True))
    for side, one in found.items():
        assert (one.lost, one.machines >= 1, one.cost > 0) == (0, True, True), side
        assert sum(len(machine.jobs) for machine in one.timeline) == len(JOBS), side
        assert {name for name in one.memory_mib if one.memory_mib[name] > 0} >= {"karpenter"}

    monkeypatch.setattr(autoscaler_live, "measured", lambda side, *_, **__: found[side])
    monkeypatch.setattr(bench, "pipelines", lambda *_: [Pipeline("small", 0.0, JOBS)])
    monkeypatch.setattr(proof_page, "PAGES", tmp_path)
    timelines = tmp_path / "t.json"
    given = {"data": tmp_path, "trace": "small", "compress": COMPRESS, "quick": True, "record": True}
    assert bench.live(argparse.Namespace(timelines=timelines, **given)) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["bench"], figures["trace"], figures["within"]) == ("autoscaler --live", "small", None)
    assert figures["ratios"].keys() == {"cost", "net_cost", "p95_wait"}
    assert figures["sides"].keys() == set(sides)
    assert {"cost", "net_cost", "mean_wait", "p95_wait", "makespan", "lost", "cpu_seconds"} < figures["sides"]["ours"].keys()
    drawn = (tmp_path / f"{bench.PAGE}.svg").read_text("utf-8")
    assert drawn.count("<g>") == sum(one.machines for one in found.values())
    assert f"({bench.PAGE}.svg)" in (tmp_path / f"{bench.PAGE}.md").read_text("utf-8")
