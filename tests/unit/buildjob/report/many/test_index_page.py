"""The page of many builds: what it says, that it holds together, and that nothing foreign acts in it."""

import base64
import hashlib
from typing import Any

import msgspec
import pytest

from buildjob.report.many import index_page
from buildjob.report.many.entries import Entry, read_entry
from buildjob.report.many.folder import Collection, Fault, collected
from buildjob.report.many.timing import pipelines
from buildjob.report.many.write_index import shown
from tests.labs.html_reader import Node, outline, read_html
from tests.labs.made_up_builds import document, encoded, job, many
from tests.labs.telemetry_samples import MIB

_HOSTILE = (
    "</td><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\u2066\x00\x1b]0;title\x07 javascript:x &amp;"
)


def _entry(place: str = "", **facts: Any) -> Entry:
    made = read_entry(encoded(document(**facts)), place=place)
    return made if not place else _with_page(made)


def _with_page(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, has_page=True, has_log_page=True)


def _page(collection: Collection, **how: Any) -> Node:
    return read_html(index_page.render(collection, pipelines(collection.entries), **how))


def _rows(page: Node) -> list[list[str]]:
    table = next(table for table in page.all("table") if table.attributes.get("id") == "builds")
    return [[cell.text() for cell in row.walk() if cell.tag in {"td", "th"}] for row in table.one("tbody").all("tr")]


def test_a_row_has_outcome_package_times_memory_against_asked_end_and_links() -> None:
    failed = {"outcome": "build_failed", "first_error": {"line": 41, "text": "a.c:1: error: x"}}
    page = _page(
        collected([_entry("hdf5-1.14-aaaaaaa", name="hdf5", version="1.14", dag_hash="a" * 32, job=job(7), **failed)], [])
    )
    assert _rows(page) == [
        [
            "Build failed",
            "hdf5 1.14 /aaaaaaaa.c:1: error: x line 41",
            "2 min 00 s",
            "10 min 00 s",
            "400 MiB20 % of 2 GiB",
            "2026-03-02 08:02",
            "job commit",
        ]
    ]
    row = page.all("tr", "bad")[0]
    assert [link.attributes["href"] for link in row.all("a")] == [
        "hdf5-1.14-aaaaaaa/report.html",
        "hdf5-1.14-aaaaaaa/log.html#L41",
        "https://gitlab.example.org/farm/packages/-/jobs/7",
        "https://gitlab.example.org/farm/packages/-/commit/9b1c7f0c3a5d",
    ]


def test_a_package_that_was_not_built_links_to_the_dependency_that_failed() -> None:
    bad = _entry("gcc-13-bbbbbbb", name="gcc", version="13", dag_hash="b" * 32, outcome="build_failed")
    needs = [{"name": "gcc", "version": "13", "hash": "b" * 32, "outcome": "build_failed"}]
    left = _entry("app-1-ccccccc", name="app", begin=9, outcome="dependency_failed", failed_dependencies=needs)
    page = _page(collected([bad, left], []))
    row = next(row for row in page.all("tr", "bad") if "needs gcc@13" in row.text())
    assert "gcc-13-bbbbbbb/report.html" in [link.attributes["href"] for link in row.all("a")]
    failing = page.one("ul", "failing").all("li")
    assert [item.one("b").text() for item in failing] == ["Build failed", "Dependency failed"]


def test_what_changed_stands_in_the_row_and_the_rule_below() -> None:
    entries = [_entry(begin=10.0 * at, version=str(at), memory_bytes=size * MIB) for at, size in enumerate((400, 900))]
    page = _page(collected(entries, []))
    assert _rows(page)[0][1].endswith("memory + 125 % since 0")
    assert "25 %" in page.one("footer").text()
    assert "25 %" not in _page(collected(entries[:1], [])).one("footer").text()


def test_the_last_run_of_a_package_decides_whether_it_is_failing() -> None:
    bad, good = {"outcome": "build_failed"}, {"outcome": "built"}
    mended = [_entry(name="a", begin=0, **bad), _entry(name="a", begin=9, **good)]
    broken = [_entry(name="b", begin=0, **good), _entry(name="b", begin=9, **bad)]
    running = [_entry(name="c", begin=0, **bad), _entry(name="c", begin=9, complete=False)]
    page = _page(collected([*mended, *broken, *running], []))
    assert [item.text().split()[0] for item in page.one("ul", "failing").all("li")] == ["b", "c"]
    assert "failing" not in [section.attributes.get("id") for section in _page(collected(mended, [])).all("section")]


def test_faults_and_what_is_left_out_are_named() -> None:
    faults = [Fault(f"run-{number}/telemetry.json", "empty") for number in range(70)]
    page = _page(collected([_entry()], faults, left_out=1234))
    assert "1,234 older ones are left out" in page.one("header").text()
    section = next(each for each in page.all("section") if each.attributes.get("id") == "faults")
    assert len(section.all("li")) == 50
    assert "and 20 more" in section.text()


def test_a_job_of_which_both_agent_and_driver_wrote_has_one_row() -> None:
    script = _entry(outcome="script_failed", job=job(7))
    assert len(shown(collected([_entry(job=job(7)), script], [])).entries) == 1
    assert len(shown(collected([_entry(job=job(8)), script], [])).entries) == 2
    assert len(shown(collected([_entry(outcome="script_failed")], [])).entries) == 1


def test_an_empty_folder_has_a_page() -> None:
    assert "There are none." in _page(Collection(entries=())).text()


def test_the_script_is_allowed_by_its_checksum_alone() -> None:
    page = _page(collected([_entry()], []))
    (script,) = page.all("script")
    checksum = base64.b64encode(hashlib.sha256(script.text().encode()).digest()).decode()
    policy = next(meta for meta in page.all("meta") if meta.attributes.get("http-equiv"))
    assert policy.attributes["content"].startswith("default-src 'none'; ")
    assert policy.attributes["content"].endswith(f"; script-src 'sha256-{checksum}'")
    assert all(not name.startswith("on") for node in page.walk() for name in node.attributes)


@pytest.mark.parametrize(
    "place", ["x/../..", "javascript:alert(1)", "a b&\"'<>", "\udcff", "#?%", _HOSTILE.replace("/", "")]
)
def test_foreign_texts_and_names_are_inert(place: str) -> None:
    def made(text: str, address: str, where: str) -> Node:
        facts = job(7) | dict.fromkeys(("name", "project", "ref", "id"), text) | {"url": address, "commit_url": address}
        failed = [{"name": text, "version": text, "hash": text, "outcome": text}]
        entry = _entry(
            where, name=text, version=text, dag_hash=text, outcome="build_failed", job=facts, failed_dependencies=failed,
            first_error={"line": 3, "text": text}, begin=5.0,
        )  # fmt: skip
        return _page(collected([entry], [Fault(text, text)]), heading="Builds")

    page = made(_HOSTILE, f"https://x.example/?q={_HOSTILE}", place)
    plain = made("plain", "https://x.example/ no link", "plain")
    assert outline(page) == outline(plain)
    text = page.text()
    assert not set("\u202e\u2066\x00\x1b\x07") & set(text)
    for link in page.all("a"):
        target = link.attributes["href"]
        assert target.startswith(("#", "https://", "./")) or ":" not in target.partition("/")[0]


def test_5000_builds_fit_and_the_newest_stay_where_they_do_not() -> None:
    entries = [
        _with_page(read_entry(encoded(made), place=f"{made['spec']['name']}-{at}")) for at, made in enumerate(many(5000))
    ]
    page = index_page.render(collected(entries, []), [])
    assert len(page) < 4_000_000
    assert page.count("<tr class=") == 5000
    long = [_entry(f"{at}-" + "x" * 200, name="n" * 100, version="v" * 100, begin=float(at), outcome="build_failed",
                   first_error={"line": 3, "text": "é" * 300}, job=job(at) | {"url": "https://x.example/" + "y" * 270})
            for at in range(4000)]  # fmt: skip
    page = index_page.render(collected(long, []), [])
    assert len(page.encode()) < index_page.MOST_BYTES
    assert "older builds are left out: the page would be too large" in page
    assert "3999-xxx" in page
    assert "/0-xxx" not in page
