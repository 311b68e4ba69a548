"""Promise of docs/sizing.md: what the sizes waste on public traces, and how often a build is killed for them."""

import pytest

from scripts.benches.parts.sizing_cores import by_phases, by_work, core_hours
from scripts.benches.parts.sizing_peers import peers
from scripts.benches.parts.sizing_rounds import moves, timeline
from scripts.benches.parts.sizing_traces import NODE_BYTES, traces
from sizing.observations import Observation, PolicySettings
from sizing.replay import by_policy, replayed, totals
from tests.labs.cdash_schemas import shared


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[Observation]]:
    return traces(shared("sizing/requests.csv").parent)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ours_wastes_little_and_is_seldom_killed(tasks: dict[str, list[Observation]]) -> None:
    way = by_policy("min_waste", PolicySettings(cap_bytes=NODE_BYTES))
    found = [totals(replayed(of, way, cap_bytes=NODE_BYTES)) for of in tasks.values()]
    assert sum(one.builds for one in found) == 14_249
    assert sum(one.waste_gb_hours for one in found) <= 14_000
    assert sum(one.failed for one in found) <= 0.025 * 14_249
    assert max(one.most_attempts for one in found) <= 5


@pytest.mark.parametrize(
    ("peer", "waste", "failed", "attempts"),
    [("user request", 1776.7, 0.0, 1), ("max × 1.2, double", 1647.9, 0.021, 12), ("Tovar", 1731.2, None, 3)],
)
def test_peers_waste_what_was_published_of_them(
    tasks: dict[str, list[Observation]], peer: str, waste: float, failed: float | None, attempts: int
) -> None:
    """On one trace: the figures of an independent replay."""
    found = totals(replayed(tasks["rnaseq"], peers()[peer], cap_bytes=NODE_BYTES))
    assert found.waste_gb_hours == pytest.approx(waste, abs=0.06)
    assert failed is None or found.failed / found.builds == pytest.approx(failed, abs=0.001)
    assert found.most_attempts <= attempts


def test_fewer_cores_are_asked_for_at_hardly_more_time(tasks: dict[str, list[Observation]]) -> None:
    found = core_hours(tasks["methylseq"], by_work)
    assert found.asked <= 0.8 * found.users
    assert found.modeled_hours <= 1.1 * found.measured_hours


@pytest.mark.parametrize(
    ("cores_used", "cores", "work", "phases"),
    [
        (12, 12, 1, 1),
        (12, 6, 2, 2),
        (6.5, 6.5, 1, 1 + 0.5 * (12 / 6.5 - 1)),
        (1, 1, 1, 1),
        (0.5, 0.5, 1, 1),
        (6, 3, 2, None),
    ],
)
def test_models_of_run_time(cores_used: float, cores: float, work: float, phases: float | None) -> None:
    seen = Observation(
        keys=("",), submitted=0, ended=1, outcome="built", asked_cpu_millicores=12_000, cpu_seconds=cores_used * 10,
        wall_seconds=10,
    )  # fmt: skip
    assert by_work(seen, cores) == pytest.approx(work)
    assert by_phases(seen, cores) >= work or phases is None
    assert phases is None or by_phases(seen, cores) == pytest.approx(phases)


def test_ours_moved_py_torch_when_its_kill_was_known_eleven_days_before_the_hand_made_round() -> None:
    data = shared("sizing/requests.csv").parent
    move = next(move for move in moves(data) if move.package == "py-torch" and str(move.round) == "2024-02-12")
    assert str(move.known) == "2024-02-01"
    assert move.ours_bytes is not None
    assert move.ours_bytes > 47.4e9
    assert [peak for _, peak, _ in timeline(data, "py-torch")] == [18.97, 47.4, 41.19]


def test_a_peak_that_was_published_later_than_a_round_says_nothing_of_it() -> None:
    found = moves(shared("sizing/requests.csv").parent)
    assert all(move.known is None or move.known <= move.round for move in found)
    assert {move.package for move in found if str(move.round) == "2024-01-29" and move.peak_bytes is None} == {
        "hipblas", "qt", "visit",
    }  # fmt: skip
