"""`spack-farm report index`, and the page that builds leave: real folders, real processes, real S3."""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildjob.report.many.folder import Collection, Reader
from buildjob.report.many.write_index import NotOurs, update
from tests.labs.checkout import ROOT
from tests.labs.html_reader import read_html
from tests.labs.made_up_builds import document, encoded, job, many, pipeline, run_folder
from tests.labs.s3.server import Server


def farm(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "spack_farm", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)


def read(folder: Path) -> Collection:
    return Reader(folder).read()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    for made in many(12):
        run_folder(folder, made)
    return folder


def test_what_should_be_a_document_and_is_none_is_a_line_each(out: Path) -> None:
    def spoil(name: str, content: bytes) -> None:
        (out / name).mkdir()
        (out / name / "telemetry.json").write_bytes(content)

    spoil("half", encoded(document())[:300])
    spoil("empty", b"")
    spoil("newer", b'{"version": 3}')
    spoil("foreign", b'{"name": "something else"}')
    spoil("binary", os.urandom(4000))
    spoil("deep", b"[" * 200_000)
    (out / "folder" / "telemetry.json").mkdir(parents=True)
    (out / "pipe").mkdir()
    os.mkfifo(out / "pipe" / "telemetry.json")
    (out / "lost").mkdir()
    (out / "lost" / "telemetry.json").symlink_to("/nonexistent")
    (out / "huge").mkdir()
    with (out / "huge" / "telemetry.json").open("wb") as file:
        file.truncate(17 << 20)
    (out / "no-document").mkdir()
    (out / "no-document" / "build.log").touch()
    (out / "unrelated").mkdir()
    (out / "unrelated" / "notes.json").write_text("{")
    (out / os.fsdecode(b"\xff\xfe-latin")).mkdir()
    (out / "loop").symlink_to(out)
    found = read(out)
    assert len(found.entries) == 12
    told = {fault.name.partition("/")[0]: fault.reason for fault in found.faults}
    assert sorted(told) == [
        "binary",
        "deep",
        "empty",
        "folder",
        "foreign",
        "half",
        "huge",
        "lost",
        "newer",
        "no-document",
        "pipe",
    ]
    assert "newer than what this spack-farm reads" in told["newer"]
    done = farm("report", "index", out)
    assert done.returncode == 0
    assert done.stderr.count("not read: ") == len(told)
    assert "Traceback" not in done.stderr
    page = read_html((out / "index.html").read_text())
    assert len(next(each for each in page.all("section") if each.attributes.get("id") == "faults").all("li")) == len(told)


def test_a_build_leaves_a_page_of_all_builds_and_compares_with_the_earlier_ones(tmp_path: Path) -> None:
    def build(command: str, version: str) -> subprocess.CompletedProcess[str]:
        return farm("build", "--command", command, "--name", "tool", "--version", version, "--out", tmp_path / "out")

    assert build("echo one", "1.0").returncode == 0
    assert (
        build(
            "for i in 1 2 3; do echo \"a.c:$i: error: 'x' undeclared\"; done; echo 'ld: error: no y'; exit 1", "1.1"
        ).returncode
        == 1
    )
    page = read_html((tmp_path / "out" / "index.html").read_text())
    rows = [row for row in page.all("tr") if row.attributes.get("class") in {"good", "bad"}]
    assert [row.attributes["class"] for row in rows] == ["bad", "good"]
    assert "'x' undeclared line 1" in rows[0].text()
    links = [link.attributes["href"] for row in rows for link in row.all("a")]
    assert links == ["tool-1.1/report.html", "tool-1.1/log.html#L1", "tool-1.0/report.html"]
    assert all((tmp_path / "out" / link.partition("#")[0]).is_file() for link in links)
    report = read_html((tmp_path / "out" / "tool-1.1" / "report.html").read_text())
    assert "2 errors in 4 lines" in [heading.text() for heading in report.all("h2")]
    assert "3 × a.c:1: error: 'x' undeclared line 1" in report.text()
    assert "../tool-1.0/report.html" in [link.attributes["href"] for link in report.all("a")]
    log = read_html((tmp_path / "out" / "tool-1.1" / "log.html").read_text())
    assert [line.attributes["id"] for line in log.all("li", "error")] == ["L1", "L2", "L3", "L4"]


def test_a_page_that_is_not_ours_stays_and_a_build_goes_on(out: Path) -> None:
    (out / "index.html").write_text("<h1>mine</h1>")
    done = farm("report", "index", out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "was not written by spack-farm" in done.stderr
    with pytest.raises(NotOurs):
        update(out)
    done = farm("build", "--command", "true", "--name", "a", "--version", "1", "--out", out)
    assert done.returncode == 0
    assert (out / "index.html").read_text() == "<h1>mine</h1>"
    assert farm("report", "index", out, "--output", out / "builds.html").returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("/nonexistent",), "no such folder"),
        (("{out}/zlib-1.0-aaaaaa0/telemetry.json",), "no such folder"),
        (("https://host/telemetry",), "from folders and from s3:// only"),
        (("{out}", "--most", "many"), "--most many"),
        (("{out}", "--pipeline", "none"), "no build of that pipeline"),
        (("{out}", "--graph", "/nonexistent"), "No such file"),
        (("{out}", "--graph", "{out}/zlib-1.0-aaaaaa0/telemetry.json"), "not a job graph"),
        (("{out}", "--output", "/nonexistent/index.html"), "can't be written"),
        (("{out}", "--output", "{out}"), "was not written by spack-farm"),
        (("{out}", "--output", ""), "--output is empty"),
        (("{empty}",), "there is no telemetry"),
        (("{out}", "--region", "here"), "not in S3"),
    ],
)
def test_a_report_that_cannot_be_made_is_one_line_and_exit_code_2(
    words: tuple[str, ...], complaint: str, out: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = farm("report", "index", *(word.format(out=out, empty=empty) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_links_lead_from_wherever_the_page_is_to_the_run_folders(out: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "all.html"
    page.parent.mkdir()
    done = farm("report", "index", out, "--output", page)
    assert (done.returncode, done.stderr) == (0, "")
    links = [link.attributes["href"] for link in read_html(page.read_text()).all("a")]
    assert len([link for link in links if (page.parent / link).is_file()]) >= 12


def _build_and_update(out: Path, number: int) -> None:
    run_folder(out, document("many", str(number), begin=float(number)))
    update(out)


def test_builds_side_by_side_lose_nothing_and_leave_a_whole_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        for done in [pool.submit(_build_and_update, out, number) for number in range(40)]:
            done.result()
    page = read_html((out / "index.html").read_text())
    assert len([row for row in page.all("tr") if row.attributes.get("class") == "good"]) == 40
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_second_look_reads_only_what_is_new(out: Path) -> None:
    reader = Reader(out)
    first = reader.read()
    folder = run_folder(out, document("new", "1", begin=900.0))
    began = time.perf_counter()
    second = reader.read()
    assert len(second.entries) == len(first.entries) + 1
    assert set(map(id, first.entries)) < set(map(id, second.entries))
    assert time.perf_counter() - began < 5
    (folder / "cdash").mkdir()
    receipts = [{"file": "Build.xml", "build_id": "7", "link": "https://cdash.example.org/builds/7"}, {"file": "x"}]
    (folder / "cdash" / "receipts.jsonl").write_text("\n".join(map(json.dumps, receipts)) + "\n{")
    entry = next(entry for entry in reader.read().entries if entry.name == "new")
    assert [(link.label, link.url) for link in entry.links] == [("CDash", "https://cdash.example.org/builds/7")]


def test_uploaded_telemetry_artifacts_and_the_driver_s_documents_are_found(tmp_path: Path) -> None:
    day = tmp_path / "mirror" / "telemetry" / "v1" / "protected" / "2026-03-02"
    day.mkdir(parents=True)
    (day / "zlib-1.json").write_bytes(encoded(document()))
    (tmp_path / "mirror" / "blobs").mkdir()
    (tmp_path / "mirror" / "blobs" / "x.json").write_text("{}")
    assert [entry.place for entry in read(tmp_path / "mirror").entries] == [""]
    nested = tmp_path / "artifacts" / "job" / "user_data" / "spack-farm"
    run_folder(nested, document("app", "2"))
    (entry,) = read(tmp_path / "artifacts").entries
    assert entry.place == "job/user_data/spack-farm/app-2-appxxxx"
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "pod.json").write_bytes(encoded(document(outcome="script_succeeded", job=job(3))))
    assert len(read(driver).entries) == 1
    assert len(Reader(tmp_path, most=1).read().entries) == 1
    assert Reader(tmp_path, most=1).read().left_out == 1


def test_telemetry_in_s3_gives_a_page_and_the_time_of_the_pipeline(
    versitygw: Server, credentials: None, tmp_path: Path
) -> None:
    del credentials
    bucket = versitygw.bucket()
    store = versitygw.store(f"s3://{bucket}/main")
    for number, made in enumerate(pipeline(8)):
        store.write(f"telemetry/v1/{'protected' if number % 2 else 'other'}/2026-03-02/x-{number}.json", encoded(made))
    store.write("telemetry/v1/other/2026-03-02/half.json", b'{"version"')
    store.write("telemetry/v1/other/2026-03-02/newer.json", b'{"version": 9}')
    variables = versitygw.environment | {"SPACK_FARM_PUBLISH_PATH_STYLE": "true"}
    page = tmp_path / "all.html"
    for place in (f"s3://{bucket}/main", f"s3://{bucket}/main/telemetry"):
        done = farm("report", "index", place, "--output", page, **variables)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("8 builds: 8 built\nwhere the time went: pipeline 1284410 (farm/packages develop)\n")
        assert "8 on the critical path" in done.stdout
        assert done.stderr.count("not read: ") == 2
        assert len([row for row in read_html(page.read_text()).all("tr") if row.attributes.get("class") == "good"]) == 8
    done = farm("report", "index", f"s3://{bucket}/empty", "--output", page, **variables)
    assert (done.returncode, "there is no telemetry" in done.stderr) == (2, True)
    done = farm("report", "index", "s3://no-such-bucket-here/x", "--output", page, **variables)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
