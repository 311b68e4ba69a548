"""The page of `scripts/bench autoscaler --live` is made of what `--timelines` wrote: figures, and each machine's time."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from scripts import proof_page
from scripts.benches import autoscaler as bench
from scripts.benches.parts import autoscaler_nodes

SVG = "{http://www.w3.org/2000/svg}"


def machine(begun: float, ended: float, *jobs: tuple[float, float, float], kind: str = "m5.xlarge") -> dict[str, Any]:
    return {"type": kind, "begun": begun, "ended": ended, "jobs": jobs}


def side(cost: float) -> dict[str, Any]:
    return {"cost": cost, "lost": 0, "fixed": {"start_seconds": 1.25, "end_seconds": 25.0}}


def document(**timelines: list[dict[str, Any]]) -> dict[str, Any]:
    figures = {
        "title": "tiny: 3 jobs", "commit": "0123abc", "date": "2026-11-30",
        "ratios": {"cost": 0.5, "net_cost": 0.51, "p95_wait": 0.9}, "sides": {"karpenter": side(2), "ours": side(1)},
    }  # fmt: skip
    return {"figures": figures, "table": "a  b", "timelines": timelines}


def drawn(found: dict[str, Any]) -> ET.Element:
    return ET.fromstring(autoscaler_nodes.picture(autoscaler_nodes.read(json.dumps(found).encode())))


def bars(picture: ET.Element) -> list[tuple[float, float, str, float]]:
    """Return begin, width, color and opacity of each bar."""
    return [
        (float(one.get("x", 0)), float(one.get("width", 0)), one.get("fill", ""), float(one.get("fill-opacity", 1)))
        for group in picture.iter(f"{SVG}g")
        for one in group.iter(f"{SVG}rect")
    ]


def test_each_machine_is_a_line_on_the_same_axis_of_time() -> None:
    picture = drawn(
        document(
            karpenter=[machine(0, 3600, (0, 900, 0.5), (0, 1800, 0.25))], ours=[machine(0, 1800), machine(900, 1800)]
        )
    )  # fmt: skip
    lines = bars(picture)
    whole, half, quarter = (width for _, width, _, _ in (lines[0], lines[3], lines[4]))
    assert half == pytest.approx(whole / 2, abs=0.2)
    assert quarter == pytest.approx(whole / 4, abs=0.2)
    assert [opacity for *_, opacity in lines[1:3]] == [0.75, 0.25], "jobs of the same time add up"
    texts = [one.text or "" for one in picture.iter(f"{SVG}text")]
    assert "1 machines, 1.0 machine hours, of which jobs requested 25 %" in texts
    assert "2 machines, 0.8 machine hours, of which jobs requested 0 %" in texts


@pytest.mark.parametrize(
    "timelines",
    [
        {},
        {"karpenter": [], "ours": []},
        {"ours": [machine(-5, -1)]},
        {"ours": [machine(0, 0, (0, 0, 0))]},
        {"<b>&\"'": [machine(0, 1, kind="<script>")]},
        {"ours": [machine(0, 1e7, (5, 1e9, 7.0))]},
        {"ours": [machine(n, n + 50.0) for n in range(3000)]},
    ],
)
def test_odd_timelines_are_a_whole_picture(timelines: dict[str, list[dict[str, Any]]]) -> None:
    picture = drawn(document(**timelines))
    assert picture.find(f"{SVG}script") is None
    _, _, width, height = map(float, picture.get("viewBox", "").split())
    assert all(0 <= x <= x + wide <= width + 0.5 for x, wide, _, _ in bars(picture))
    assert all(float(one.get("y", 0)) <= height for one in picture.iter(f"{SVG}rect"))


def test_the_page_is_drawn_again_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_page, "PAGES", tmp_path)
    file = tmp_path / "timelines.json"
    file.write_text(json.dumps(document(karpenter=[machine(0, 60)], ours=[machine(0, 30)])))
    monkeypatch.setattr("sys.argv", ["bench", "--draw", str(file)])
    assert bench.main() == 0
    text = (tmp_path / f"{bench.PAGE}.md").read_text("utf-8")
    assert "2026-11-30, commit 0123abc. tiny: 3 jobs." in text
    assert "Ours, of Karpenter's: cost 0.5 (0.51 net" in text
    assert "p95 wait 0.9. Jobs lost on both sides: 0." in text
    assert (tmp_path / f"{bench.PAGE}.svg").read_text("utf-8").startswith("<svg ")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"figures": {}, "table": "", "timelines": {}}'])
def test_a_file_of_something_else_is_rejected(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proof_page, "PAGES", tmp_path)
    file = tmp_path / "timelines.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr("sys.argv", ["bench", "--draw", str(file)])
    assert bench.main() == 2
    assert "is not what --timelines writes" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.md"))
