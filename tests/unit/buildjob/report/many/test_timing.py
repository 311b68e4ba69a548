"""Where a pipeline's time went: waits, the critical path, and shares, from telemetry with more and less in it."""

from typing import Any

import pytest

from buildjob.report.many import timing_section
from buildjob.report.many.entries import Entry, read_entry
from buildjob.report.many.timing import JobTime, Needs, PipelineTime, pipelines, read_graph
from tests.labs.checkout import ROOT
from tests.labs.html_reader import read_html
from tests.labs.made_up_builds import document, encoded, job


def _entry(number: int, name: str, *, taken: float, began: float, begin: float, minutes: float, **changes: Any) -> Entry:
    """Return a build whose hash is its name."""
    given = {"dag_hash": name, "job": job(number, taken=taken, began=began), **changes}
    return read_entry(encoded(document(name, "1", begin=begin, minutes=minutes, **given)))


def _diamond(**changes: Any) -> list[Entry]:
    """gcc -> mpi, blas -> app; mpi takes longer. In minutes."""
    return [
        _entry(1, "gcc", taken=1, began=2, begin=3, minutes=10, **changes),  # ends at 13
        _entry(2, "mpi", taken=15, began=16, begin=17, minutes=20, needs=("gcc",)),  # ends at 37
        _entry(3, "blas", taken=14, began=15, begin=15, minutes=5, needs=("gcc",)),  # ends at 20
        _entry(4, "app", taken=40, began=42, begin=45, minutes=5, needs=("mpi", "blas", "glibc")),  # ends at 50
    ]


def _only(entries: list[Entry], graph: Needs | None = None) -> PipelineTime:
    (found,) = pipelines(entries, graph)
    return found


def _minutes(job: JobTime) -> tuple[float | None, ...]:
    return tuple(None if each is None else round(each / 60, 2) for each in timing_section.times(job))


def test_the_critical_path_goes_back_to_the_need_that_ended_last() -> None:
    found = _only(_diamond())
    assert [each.name for each in found.path] == ["gcc@1", "mpi@1", "app@1"]
    assert [each.name for each in found.jobs] == ["gcc@1", "blas@1", "mpi@1", "app@1"]
    assert found.seconds == 50 * 60
    assert (found.id, found.project, found.ref) == ("77", "farm/packages", "develop")


def test_a_job_s_time_is_its_wait_start_dependencies_build_and_publishing() -> None:
    publish = {"state": "published", "url": "", "wall_seconds": 30.0}
    gcc, mpi, app = _only(_diamond(publish=publish)).path
    # the pipeline was made at 0, taken at 1, agent at 2, Spack at 3, build from 3:03 to 13:00, published until 13:30
    assert _minutes(gcc) == (1.0, 1.0, 1.05, 9.95, 0.5)
    assert _minutes(mpi) == (1.5, 1.0, 1.05, 19.95, 0.0)
    assert _minutes(app) == (3.0, 2.0, 3.05, 4.95, 0.0)


def test_the_share_of_the_own_build_is_of_all_jobs_without_their_waits() -> None:
    found = _only(_diamond())
    total = sum(each.seconds for each in found.jobs)
    assert total == sum(60 * minutes for minutes in (12, 22, 6, 10))
    assert found.share_of_build() == pytest.approx(60 * (9.95 + 19.95 + 4.95 + 4.95) / total)


def test_a_job_that_was_tried_again_counts_as_the_one_that_built() -> None:
    failed = _entry(9, "gcc", taken=0.5, began=0.6, begin=0.7, minutes=1, outcome="build_failed")
    found = _only([failed, *_diamond()])
    assert len(found.jobs) == 5
    assert [each.url[-1] for each in found.path] == ["1", "2", "4"]


def test_without_gitlabs_times_what_is_known_stands_and_the_rest_is_open() -> None:
    facts = {"id": "5", "pipeline_id": "77"}
    (only,) = _only([read_entry(encoded(document("zlib", "1", begin=5, minutes=2, job=facts)))]).jobs
    assert _minutes(only) == (None, None, 0.05, 1.95, 0.0)


def test_the_driver_s_document_says_when_the_script_began_and_ended() -> None:
    facts = job(5, taken=1)
    script = document("zlib", "1", begin=2, minutes=10, job=facts, outcome="script_succeeded", phases=[])
    (only,) = _only(
        [read_entry(encoded(each)) for each in (document("zlib", "1", begin=5, minutes=2, job=facts), script)]
    ).jobs
    assert _minutes(only) == (1.0, 1.0, 8.05, 1.95, 0.0)


def test_packages_of_one_job_are_one_job() -> None:
    facts = job(5, taken=1, began=2)
    both = [
        document("a", "1", begin=2, minutes=3, job=facts),
        document("b", "1", begin=5, minutes=3, job=facts, needs=("axxx",)),
    ]
    (only,) = _only([read_entry(encoded(each)) for each in both]).jobs
    assert only.name == "b@1"
    assert _minutes(only)[3] == pytest.approx(5.9)


def test_the_job_graph_adds_needs_and_says_what_was_not_seen() -> None:
    graph = Needs({"gcc": (), "mpi": ("gcc",), "blas": ("gcc", "mpi"), "app": ("blas",), "later": ("app",)})
    entries = [each for each in _diamond() if each.name != "blas"]
    late = _entry(3, "blas", taken=38, began=38, begin=38, minutes=1)
    found = _only([*entries, late], graph)
    assert [each.name for each in found.path] == ["gcc@1", "mpi@1", "blas@1", "app@1"]
    assert found.not_seen == 1
    assert _only(_diamond(), Needs({"other": ()})).not_seen == 0


def test_a_circle_of_needs_ends() -> None:
    entries = [
        _entry(1, "a", taken=0, began=0, begin=0, minutes=5, needs=("b",)),
        _entry(2, "b", taken=0, began=0, begin=0, minutes=5, needs=("a", "b")),
    ]
    assert len(_only(entries).path) == 1


def test_each_pipeline_stands_alone_the_last_one_first() -> None:
    entries = [
        read_entry(encoded(document(begin=at, job=job(at, pipeline=pipeline))))
        for at, pipeline in ((1, "5"), (9, "6"), (4, "7"))
    ]
    assert [each.id for each in pipelines([*entries, read_entry(encoded(document()))])] == ["6", "7", "5"]
    assert [each.id for each in pipelines(entries, only="7")] == ["7"]
    assert pipelines(entries, only="8") == []


def test_the_sample_of_a_job_graph_is_read() -> None:
    (path,) = sorted((ROOT / "tests/data/job_graph").glob("*.json"))[:1]
    assert read_graph(path.read_bytes()).by_key


@pytest.mark.parametrize("text", [b"", b"[]", b'{"version": 2, "jobs": []}', b'{"version": 1}', b"[" * 100_000])
def test_what_is_no_job_graph_is_rejected(text: bytes) -> None:
    with pytest.raises(ValueError, match="job graph"):
        read_graph(text)


def test_the_section_has_the_path_and_the_sums() -> None:
    page = read_html(timing_section.section(_only(_diamond())))
    assert "4 jobs, 50 min 00 s until the last one ended, 3 on the critical path" in page.one("summary").text()
    rows = [[cell.text() for cell in row.walk() if cell.tag in {"th", "td"}] for row in page.all("tr")]
    assert rows[0] == ["Job", "Wait", "Start", "Dependencies", "Build", "Publish"]
    assert [row[0] for row in rows[1:]] == ["gcc@1", "mpi@1", "app@1", "Critical path", "All jobs"]
    assert rows[1][1:] == ["1 min 00 s", "1 min 00 s", "1 min 03 s", "9 min 57 s", "0 s"]
