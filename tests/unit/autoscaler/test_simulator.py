"""The simulated cluster: jobs end in their order, chance is the same for all controllers, no job is ended by ours."""

import json
from pathlib import Path

import pytest

from autoscaler.__main__ import main
from autoscaler.deciding.places import templates
from autoscaler.simulator.ours import Ours
from autoscaler.simulator.peers import EscalatorLike, PackingLike, SimpleHeuristic
from autoscaler.simulator.run import Controller, Result, quantile, simulated
from autoscaler.simulator.workload import Conditions, JobSpec, Pipeline
from tests.labs.autoscaler import policy, pool, size
from tests.labs.checkout import ROOT

CALM = Conditions(boot_spread=0, boot_failures=0, no_capacity=0, losses_per_hour=0, expected_error=0, busy_cores=0.5)
ROUGH = Conditions(boot_failures=0.2, no_capacity=0.3, losses_per_hour=30.0, busy_cores=1.5)
EXAMPLE = ROOT / "examples/autoscaler"
LARGE = templates(policy(), (), {})["linux", "large", ""]


def pipeline(count: int = 12, *, peak: int = 0) -> Pipeline:
    first = JobSpec("a", "a", (), size(4, 8), 100.0)
    return Pipeline(
        "p", 0.0, (first, *(JobSpec(f"j{n}", f"j{n}", ("a",), size(4, 8), 60.0 + n, peak) for n in range(count)))
    )


def ours(name: str = "lookahead") -> Ours:
    return Ours(policy(pool(most_nodes=50), name=name))


def run(controller: Controller, conditions: Conditions = CALM, *, peak: int = 0, seed: int = 1) -> Result:
    return simulated([pipeline(peak=peak)], controller, conditions, seed=seed, most_seconds=86_400)


@pytest.mark.parametrize(
    "controller",
    [
        ours(), ours("pack"), ours("counts"), PackingLike([LARGE], 300, 15), SimpleHeuristic(LARGE), EscalatorLike(LARGE),
    ],
    ids=["lookahead", "pack", "counts", "packing", "heuristic", "escalator"],
)  # fmt: skip
def test_all_jobs_end_whoever_orders(controller: Controller) -> None:
    found = run(controller)
    assert (found.is_over, found.killed_by_us, found.jobs, found.lost_jobs) == (True, 0, 13, 0)
    assert found.makespan >= found.critical_path == 171.0
    assert 0 < found.idle_cost < found.cost


def test_the_look_ahead_waits_less() -> None:
    assert run(ours()).mean_wait < run(ours("pack")).mean_wait


def test_losses_failed_boots_and_missing_capacity_end_no_job_by_us() -> None:
    lost = 0
    for seed in range(1, 6):
        found = run(ours(), ROUGH, seed=seed)
        assert (found.is_over, found.killed_by_us) == (True, 0)
        lost += found.lost_jobs
    assert lost > 0


def test_a_job_that_needs_more_memory_is_tried_again_with_twice_as_much() -> None:
    found = run(ours(), peak=20 << 30)
    assert (found.is_over, found.memory_kills) == (True, 24)


def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    assert run(ours(), ROUGH, seed=3) == run(ours(), ROUGH, seed=3)
    assert run(ours(), ROUGH, seed=3) != run(ours(), ROUGH, seed=4)


def test_quantiles() -> None:
    assert [quantile(values, 0.95) for values in ([], [3.0], [1.0, 2.0], list(map(float, range(100))))] == [0, 3, 2, 94]


def test_the_shipped_example_is_simulated_in_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    argv = ["simulate", str(EXAMPLE), "--seeds", "1", "--json", "--page", str(page)]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seeds"], found["start"], "difference" in found) == (1, "2026-01-05T09:00:00Z", False)
    ours_, peer = found["runs"]["new"], found["runs"]["karpenter_like"]
    assert ours_["killed_by_us"] == peer["killed_by_us"] == 0
    assert (ours_["jobs"], ours_["is_over"]) == (71, True)
    assert 0 == peer["decide_seconds"] < ours_["decide_seconds"] < 5
    text = page.read_text("utf-8")
    assert text.count("<svg") == 2
    assert "Simulated time begins at 2026-01-05 09:00 UTC, a Monday." in text
    assert "What changes" not in text
    assert "http" not in text
    assert "<script" not in text


def folder_with(tmp_path: Path, name: str, *, idle_count: int = 1, cores: int = 3, more: str = "") -> Path:
    """Return a folder with the example's settings, with a change, and a pipeline of a few jobs."""
    folder = tmp_path / name
    folder.mkdir()
    text = (EXAMPLE / "settings.toml").read_text().replace("idle_count = 1", f"idle_count = {idle_count}")
    (folder / "settings.toml").write_text(f"{text}\n{more}")
    wanted = {"cpu_millicores": 1000 * cores, "memory_bytes": 4 << 30}
    jobs = [{"key": f"j{n}", "needs": ["j0"] if n else [], "size": wanted, "expected_seconds": 300 + n} for n in range(8)]
    (folder / "g.json").write_text(json.dumps({"version": 1, "jobs": jobs}))
    (folder / "workload.toml").write_text('[[pipelines]]\ngraph = "g.json"\n')
    return folder


def changes_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, float]]:
    assert main(["simulate", *argv, "--seeds", "2", "--json"]) == 0
    found: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)["difference"]
    return found


def test_what_a_change_of_settings_costs_is_printed_for_a_merge_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old, page = folder_with(tmp_path, "new"), folder_with(tmp_path, "old", idle_count=0), tmp_path / "page.html"
    against = str(old / "settings.toml")
    assert main(["simulate", str(new), "--against", against, "--seeds", "2", "--page", str(page)]) == 0
    text = capsys.readouterr().out
    assert f"What changes (old: {against}; new: {new}/settings.toml), means over 2 seeds:" in text
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    rows = {row[0]: row[1:] for row in table}
    before, after, change, percent, _ = rows["cost"]
    assert float(after) > float(before), "a warm floor in working hours costs something"
    assert (change[0], percent[0]) == ("+", "+")
    assert rows["jobs killed by us"] == ["0.0", "0.0", "0", "", "0 to 0"]
    drawn = page.read_text("utf-8")
    assert drawn.count("<svg") == 3
    assert f"<td>{before}</td><td>{after}</td><td>{change}</td>" in drawn


def test_the_difference_as_a_document_has_old_new_and_each_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = folder_with(tmp_path, "new"), folder_with(tmp_path, "old", idle_count=0)
    found = changes_of([str(new), "--against", str(old)], capsys)
    cost = found["cost"]
    assert cost["change"] == pytest.approx(cost["new"] - cost["old"])
    assert cost["change_percent"] == pytest.approx(100 * cost["change"] / cost["old"])
    assert 0 < cost["least_change"] <= cost["change"] <= cost["greatest_change"]
    assert found["killed_by_us"] == {
        "old": 0, "new": 0, "change": 0, "change_percent": None, "least_change": 0, "greatest_change": 0,
    }  # fmt: skip
    assert {"mean_wait", "p95_wait", "launched", "lost_jobs", "memory_kills"} < found.keys()


def test_the_same_settings_make_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = folder_with(tmp_path, "new")
    found = changes_of([str(new), "--against", str(new / "settings.toml")], capsys)
    assert {one["change"] for one in found.values()} == {0}


def test_other_sizes_of_jobs_are_compared_by_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, old = folder_with(tmp_path, "new", cores=3), folder_with(tmp_path, "old", cores=6)
    assert changes_of([str(new), "--against", str(old)], capsys)["cost"]["greatest_change"] < 0
    (old / "workload.toml").unlink()
    assert changes_of([str(new), "--against", str(old)], capsys)["cost"]["change"] == 0


def test_a_pool_more_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        '[[pools]]\nname = "cheap"\nhand = "nodeclaim"\nmost_nodes = 60\n'
        'types = [{ name = "x.4xlarge", cpu = "12", memory = "48Gi", price_per_hour = 0.01 }]\n'
    )
    new, old = folder_with(tmp_path, "new", idle_count=0, more=more), folder_with(tmp_path, "old", idle_count=0)
    found = changes_of([str(new), "--against", str(old)], capsys)
    assert found["cost"]["new"] < 0.5 * found["cost"]["old"]


def test_types_have_what_nodes_of_a_snapshot_have_less_daemonsets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_with(tmp_path, "new", cores=7)
    (folder / "settings.toml").write_text(
        '[[pools]]\nname = "linux"\ntypes = [{ name = "m", cpu = "8", memory = "32Gi", price_per_hour = 0.1 }]\n'
    )
    node = {
        "name": "n", "pool": "linux", "type": "m", "instance": "i",
        "allocatable": {"cpu_millicores": 7200, "memory_bytes": 30 << 30},
    }  # fmt: skip
    daemon = {"uid": "d", "name": "d", "kind": "daemon", "node": "n", "phase": "Running", "size": {"cpu_millicores": 300}}
    for name, pods in (("empty", []), ("daemons", [daemon])):
        seen = {"version": 1, "taken_at": 1.0, "nodes": [node], "pods": pods}
        (tmp_path / f"{name}.json").write_text(json.dumps(seen))
    argv = ["simulate", str(folder), "--seeds", "1"]
    assert main([*argv, "--snapshot", str(tmp_path / "empty.json")]) == 0
    assert main([*argv, "--snapshot", str(tmp_path / "daemons.json")]) == 2
    assert "fits no type" in capsys.readouterr().err
    assert main([*argv, "--snapshot", str(tmp_path / "none.json")]) == 2
    assert "none.json can't be read" in capsys.readouterr().err


def costs(argv: list[str], capsys: pytest.CaptureFixture[str]) -> float:
    assert main(["simulate", *argv, "--seeds", "1", "--json"]) == 0
    found: float = json.loads(capsys.readouterr().out)["runs"]["new"]["cost"]
    return found


def test_a_warm_floor_by_hours_acts_in_its_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = costs([str(folder_with(tmp_path, "cold", idle_count=0))], capsys)
    folder = folder_with(tmp_path, "warm")
    monday = costs([str(folder)], capsys)
    assert monday > without
    assert costs([str(folder), "--start", "2026-01-05T10:00:00+01:00"], capsys) == monday
    assert costs([str(folder), "--start", "2026-01-05T01:00"], capsys) == without, "at night"
    assert costs([str(folder), "--start", "2026-01-04"], capsys) == without, "on a Sunday"
    workload = folder / "workload.toml"
    workload.write_text(f"start = 2026-01-04T09:00:00Z\n{workload.read_text()}")
    assert costs([str(folder)], capsys) == without
    assert costs([str(folder), "--start", "2026-01-05T09:00Z"], capsys) == monday


@pytest.mark.parametrize("start", ["nan", "1767603600", "09:00", "0001-01-01", "9999-12-31", "2026-02-30", "\x1b[2J"])
def test_a_start_that_is_no_time_is_rejected(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(EXAMPLE), "--start", start]) == 2
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "time" in written
    assert "\x1b" not in written


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (["simulate"], "name a FOLDER"),
        (["simulate", str(EXAMPLE), "--against", "/none"], "/none"),
        (["simulate", str(EXAMPLE), "--against", str(ROOT / "docs")], "settings.toml"),
        (["simulate", "/none"], "there is no folder"),
        (["simulate", str(EXAMPLE), "--seeds", "0"], "--seeds"),
        (["simulate", str(EXAMPLE), "--workload", "/none.toml"], "can't be read"),
        (["plan", "--settings", str(EXAMPLE / "settings.toml"), str(EXAMPLE)], "is a folder"),
        (["plan", "--settings", str(EXAMPLE / "settings.toml"), str(EXAMPLE / "settings.toml")], "is not a Snapshot"),
        (["replay", "--settings", str(EXAMPLE / "settings.toml"), str(ROOT / "docs")], "has no *.json"),
    ],
)
def test_what_cannot_work_is_rejected_in_one_line(argv: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"spack-farm autoscaler {argv[0]}: ")
    assert fault in written
    assert written.count("\n") == 1


@pytest.mark.parametrize(
    ("graph", "fault"),
    [
        ('{"version": 2, "jobs": []}', "version 2"),
        ("[", "is not a job graph"),
        ('{"version": 1, "jobs": [{"key": "a"}, {"key": "a"}]}', "the same key"),
        ('{"version": 1, "jobs": [{"key": "a", "needs": ["b"]}, {"key": "b", "needs": ["a"]}]}', "in a circle"),
        ('{"version": 1, "jobs": [{"key": "a", "size": {"cpu_millicores": 999000}}]}', "fits no type"),
        ('{"version": 1, "jobs": [{"key": "a", "size": {"extended": {"nvidia.com/gpu": 1}}}]}', "fits no type"),
        ('{"version": 1, "jobs": []}', "no job is to be built"),
    ],
)
def test_a_graph_that_cannot_be_simulated_is_rejected(
    graph: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.json").write_text(graph)
    (tmp_path / "workload.toml").write_text('[[pipelines]]\ngraph = "g.json"\n')
    argv = ["simulate", "--settings", str(EXAMPLE / "settings.toml"), "--workload", str(tmp_path / "workload.toml")]
    assert main(argv) == 2
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize(
    ("workload", "fault"),
    [
        ("at_seconds = nan", "at_seconds of the pipeline io.graph is not a number"),
        ("at_seconds = -1", "at_seconds of the pipeline io.graph is not a number"),
        ("[conditions]\nlosses_per_hour = nan", "conditions.losses_per_hour is not a number"),
        ("at_seconds = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_workload_that_cannot_be_simulated_is_rejected(
    workload: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "workload.toml"
    file.write_text(f'[[pipelines]]\ngraph = "{EXAMPLE}/io.graph.json"\n{workload}\n')
    assert main(["simulate", str(EXAMPLE), "--workload", str(file)]) == 2
    assert fault in capsys.readouterr().err


def test_old_settings_in_which_a_job_fits_no_type_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.toml"
    old.write_text('[[pools]]\nname = "x"\ntypes = [{ name = "m", cpu = "2", memory = "4Gi", price_per_hour = 0.1 }]\n')
    assert main(["simulate", str(EXAMPLE), "--against", str(old)]) == 2
    assert f"fits no type of the pools of {old}" in capsys.readouterr().err


SAMPLE = str(ROOT / "tests/data/autoscaler/snapshot.json")
SETTINGS = ["--settings", str(EXAMPLE / "settings.toml")]


def test_plan_replay_and_explain_say_what_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLE / "settings.toml").read_text().replace('name = "linux"', 'name = "x86_64_v3"')
    settings = tmp_path / "s.toml"
    settings.write_text(text.replace('"linux"', '"x86_64_v3"').replace("spack-farm.io/jobs", "spack.io/runner-taint"))
    given = ["--settings", str(settings)]
    assert main(["plan", *given, SAMPLE]) == 0
    assert "launch" in capsys.readouterr().out
    assert main(["plan", *given, "--json", SAMPLE]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1
    assert main(["replay", *given, "--against", str(EXAMPLE / "settings.toml"), SAMPLE]) == 0
    assert "1 of 1 plans differ" in capsys.readouterr().out
    assert main(["explain", *given, "--snapshot", SAMPLE, "runner-1-project-7-job-101"]) == 0
    assert "node_booting" in capsys.readouterr().out
    assert main(["explain", *given, "--snapshot", SAMPLE, "node-a"]) == 0
    assert "is busy" in capsys.readouterr().out
    assert main(["explain", *given, "--snapshot", SAMPLE, "nothing"]) == 2


@pytest.mark.parametrize("verb", [["plan"], ["explain", "a", "--snapshot"]])
@pytest.mark.parametrize("now", ["nan", "inf", "-inf"])
def test_a_time_that_is_none_is_rejected(verb: list[str], now: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*verb, SAMPLE, *SETTINGS, f"--now={now}"])
    assert f"{now} is not a time" in capsys.readouterr().err


@pytest.mark.parametrize("rest", [{}, {"taken_at": "2026-11-30"}, {"taken_at": 1.0, "pods": {}}])
def test_a_snapshot_of_another_version_is_named_so(
    rest: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"version": 2, **rest}))
    assert main(["plan", *SETTINGS, str(file)]) == 2
    assert "is a Snapshot of version 2; this program reads version 1" in capsys.readouterr().err


def test_the_texts_of_a_snapshot_command_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, name = tmp_path / "s.json", "a\x1b[2J\nb\u202e"
    file.write_text(json.dumps({"version": 1, "taken_at": 1.0, "pods": [{"uid": "u", "name": name}]}))
    for argv in (["plan", str(file)], ["explain", "--snapshot", str(file), "u"]):
        assert main([*argv, *SETTINGS]) == 0
        written = capsys.readouterr().out
        assert "a\\x1b[2J\\nb\\u202e" in written
        assert written.isascii()
        assert "\x1b" not in written


def test_output_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["plan", *SETTINGS, SAMPLE]) == 1
    assert capsys.readouterr().err == "spack-farm autoscaler plan: the output can't be written: No space left on device\n"


def test_a_misspelled_key_of_the_service_is_found_by_every_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "farm.toml"
    file.write_text('[service]\nlisen = ""\n')
    other = ["--against", str(file)]
    for argv in (
        ["plan", "--settings", str(file), SAMPLE], ["explain", "--settings", str(file), "--snapshot", SAMPLE, "a"],
        ["replay", *SETTINGS, *other, SAMPLE], ["simulate", str(EXAMPLE), *other],
    ):  # fmt: skip
        assert main(argv) == 2
        assert f"{file}: unknown key service.lisen (did you mean service.listen?)" in capsys.readouterr().err


def test_a_plan_beside_another_autoscaler_says_that_it_orders_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farm.toml"
    file.write_text('mode = "hints"\n')
    assert main(["plan", "--settings", str(file), SAMPLE]) == 0
    assert "mode hints: no node is ordered or removed" in capsys.readouterr().out
