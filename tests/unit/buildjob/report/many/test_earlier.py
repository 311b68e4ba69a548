"""The table of earlier builds on a build's page."""

from typing import Any

import msgspec

from buildjob.report.many import earlier
from buildjob.report.many.entries import Entry, read_entry
from buildjob.report.page import render
from tests.labs.html_reader import read_html
from tests.labs.made_up_builds import document, encoded
from tests.labs.telemetry_samples import MIB, sample


def _entry(begin: float, **facts: Any) -> Entry:
    entry = read_entry(encoded(document("hdf5", begin=begin, **facts)), place=f"hdf5-{begin:.0f}")
    return msgspec.structs.replace(entry, has_page=begin > 0)


def test_each_earlier_build_is_a_row_with_bars_of_one_scale() -> None:
    this = _entry(100.0, memory_bytes=800 * MIB, version="1.1")
    others = [
        _entry(200.0),
        _entry(50.0, outcome="build_failed", memory_bytes=None),
        _entry(0.0, version="1.0"),
        _entry(9.0, minutes=0),
    ]
    section = read_html(earlier.section(this, others))
    rows = [[cell.text() for cell in row.walk() if cell.tag in {"td", "th"}] for row in section.all("tr")]
    assert rows[1:] == [
        ["1.1 /hdf5xxx (this one)2026-03-02 09:42 UTC", "Built", "2 min 00 s", "10 min 00 s", "800 MiB"],
        ["1.3.1 /hdf5xxx2026-03-02 08:52 UTC", "Build failed", "2 min 00 s", "10 min 00 s", "–"],
        ["1.0 /hdf5xxx2026-03-02 08:02 UTC", "Built", "2 min 00 s", "10 min 00 s", "400 MiB"],
    ]
    assert [link.attributes["href"] for link in section.all("a")] == ["../hdf5-50/report.html"]
    assert section.all("tr")[3].all("rect")[2].attributes["width"] == "50%"


def test_without_earlier_builds_there_is_no_section() -> None:
    assert earlier.section(_entry(5.0), []) == ""
    assert earlier.section(_entry(5.0), [_entry(50.0)]) == ""
    assert earlier.section(_entry(50.0, minutes=0), [_entry(5.0)]) == ""


def test_the_page_of_a_build_says_what_changed_at_its_top() -> None:
    before = read_entry(msgspec.json.encode(sample(started_at="2025-11-23T09:14:02Z", ended_at="2025-11-23T09:16:33Z")))
    before = msgspec.structs.replace(before, memory_bytes=300 * MIB, version="6.4")
    page = read_html(render(sample(), excerpt=None, links=(), reproduce="", others=[before]))
    assert page.one("p", "change").text() == "Changed: memory + 44 % since 6.4."
    assert "Earlier builds" in [heading.text() for heading in page.all("h2")]
    odd = sample(started_at="soon")
    assert "Earlier builds" not in render(odd, excerpt=None, links=(), reproduce="", others=[before])
