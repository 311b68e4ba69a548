"""The sender against a CDash on loopback with every fault of the protocol: each file exactly once, or kept in the spool."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctest_xml import spool, write
from ctest_xml.answers import Delivery
from ctest_xml.cdash import Server
from ctest_xml.errors import BadInput
from ctest_xml.files import write_whole
from ctest_xml.model import Build, Configure, Note, Site, Update, Upload
from ctest_xml.submit import Listener, Report, Timing, submit, to_send
from tests.fakes.cdash import CDash

SITE = Site(name="runner & co", build_name="zlib %gcc@12", build_stamp="20261122-0742-Spack")
TIMING = Timing(sleep=lambda _: None, now=lambda: 1.8e9)
ALL = ["Update.xml", "Configure.xml", "Build.xml", "Notes.xml", "Upload.xml"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "spool")


def fill(folder: Path, site: Site = SITE) -> Path:
    folder.mkdir()
    with write_whole(folder / "Update.xml") as out:
        write.update(out, site=site, update=Update(start_seconds=1, end_seconds=2, revision="abc"))
    with write_whole(folder / "Configure.xml") as out:
        write.configure(out, site=site, configure=Configure(start_seconds=1, end_seconds=2, command="c", log="l"))
    with write_whole(folder / "Build.xml") as out:
        write.build(out, site=site, build=Build(start_seconds=1, end_seconds=2, command="make"))
    with write_whole(folder / "Notes.xml") as out:
        write.notes(out, site=site, notes=[Note(name="log", text="text", time_seconds=5)])
    with write_whole(folder / "Upload.xml") as out:
        write.upload(out, site=site, uploads=[Upload(name="a.txt", content=b"x" * 20_000)], time_seconds=5)
    return folder


def add_large_upload(folder: Path) -> None:
    """Give the folder an upload larger than what sockets hold, so that a broken connection shows while it goes out."""
    with write_whole(folder / "Upload.xml") as out:
        write.upload(out, site=SITE, uploads=[Upload(name="a.txt", content=b"x" * 6_000_000)], time_seconds=5)


@pytest.fixture
def cdash() -> Iterator[CDash]:
    with CDash() as fake:
        yield fake


def server(cdash: CDash, *, token: str = "", read_seconds: float = 20) -> Server:
    return Server(url=cdash.url, project="Spack", token=token, connect_seconds=5, read_seconds=read_seconds)


def send(folder: Path, cdash: CDash, *, again: bool = False, read_seconds: float = 20) -> Report:
    return submit(folder, server=server(cdash, read_seconds=read_seconds), again=again, timing=TIMING)


def test_every_document_is_sent_once_in_order_and_done_last(folder: Path, cdash: CDash) -> None:
    report = send(folder, cdash)
    assert cdash.names() == [*ALL, "Done.xml"]
    assert report.left == {}
    assert report.link == f"{cdash.url}/builds/4711"
    assert b"<buildId>4711</buildId>" in cdash.taken[-1].body


def test_the_query_says_what_the_documents_say(folder: Path, cdash: CDash) -> None:
    send(folder, cdash)
    for file in cdash.taken:
        said = {key: file.query[key] for key in ("project", "build", "site", "stamp")}
        assert said == {"project": "Spack", "build": "zlib %gcc@12", "site": "runner & co", "stamp": "20261122-0742-Spack"}
        assert file.query["MD5"] == file.query["MD5"].lower()


def test_a_second_call_sends_nothing(folder: Path, cdash: CDash) -> None:
    send(folder, cdash)
    requests = len(cdash.requests)
    assert send(folder, cdash).link
    assert len(cdash.requests) == requests


def test_nothing_is_ever_sent_after_done(folder: Path, cdash: CDash) -> None:
    cdash.faults = {"Upload.xml": ["413 before"]}
    assert send(folder, cdash).left == {"Upload.xml": "refused"}
    assert cdash.names()[-1] == "Done.xml"
    send(folder, cdash, again=True)
    assert cdash.names().count("Upload.xml") == 0


@pytest.mark.parametrize("fault", ["503 before", "429 before", "502 before", "408 before", "reset within"])
def test_what_was_certainly_not_taken_is_sent_again(folder: Path, cdash: CDash, fault: str) -> None:
    add_large_upload(folder)
    cdash.faults = {"Upload.xml": [fault, fault]}
    retried, settled = list[None](), list[str]()
    assert len(to_send(folder, again=False)) == len(ALL)
    listener = Listener(retried=lambda: retried.append(None), settled=settled.append)
    assert submit(folder, server=server(cdash), timing=TIMING, listener=listener).left == {}
    assert (len(retried), sorted(settled)) == (2, sorted(ALL))
    assert sorted(cdash.names()) == sorted([*ALL, "Done.xml"])


@pytest.mark.parametrize("fault", ["500 after", "504 after", "drop after", "garbage after", "hang after"])
def test_an_unknown_that_cdash_has_is_found_by_asking(folder: Path, cdash: CDash, fault: str) -> None:
    cdash.faults = {"Build.xml": [fault]}
    report = send(folder, cdash, read_seconds=2 if "hang" in fault else 20)
    assert report.left == {}
    assert cdash.names() == [*ALL, "Done.xml"]


@pytest.mark.parametrize("fault", ["500 before", "504 before", "drop before", "hang before"])
def test_an_unknown_that_cdash_does_not_show_stays_and_is_never_repeated(folder: Path, cdash: CDash, fault: str) -> None:
    cdash.faults = {"Build.xml": [fault]}
    assert send(folder, cdash, read_seconds=2 if "hang" in fault else 20).left == {"Build.xml": "unknown"}
    assert send(folder, cdash).left == {"Build.xml": "unknown"}
    assert cdash.names() == [name for name in ALL if name != "Build.xml"]


def test_an_unknown_is_sent_again_by_hand_and_then_done_follows(folder: Path, cdash: CDash) -> None:
    cdash.faults = {"Build.xml": ["500 before"]}
    send(folder, cdash)
    assert send(folder, cdash, again=True).left == {}
    assert cdash.names()[-2:] == ["Build.xml", "Done.xml"]


@pytest.mark.parametrize(("may_ask", "parsed"), [(False, True), (True, False)])
def test_what_cdash_does_not_tell_stays_unknown(folder: Path, cdash: CDash, *, may_ask: bool, parsed: bool) -> None:
    cdash.may_ask, cdash.parsed = may_ask, parsed
    cdash.faults = {"Build.xml": ["500 after"]}
    assert send(folder, cdash).left == {"Build.xml": "unknown"}
    assert cdash.names() == ALL


@pytest.mark.parametrize("fault", ["413 before", "413 early", "reject before"])
def test_a_refused_file_is_final_and_the_others_go_on(folder: Path, cdash: CDash, fault: str) -> None:
    cdash.faults = {"Configure.xml": [fault]}
    assert send(folder, cdash).left == {"Configure.xml": "refused"}
    assert cdash.names() == [*(name for name in ALL if name != "Configure.xml"), "Done.xml"]


def test_a_large_file_refused_early_is_not_taken(folder: Path, cdash: CDash) -> None:
    add_large_upload(folder)
    cdash.faults = {"Upload.xml": ["413 early"] * 3}
    left = send(folder, cdash).left
    assert left in ({"Upload.xml": "refused"}, {"Upload.xml": "ready"})  # the kernel decides whether the answer gets through
    assert "Upload.xml" not in cdash.names()


def test_deferred_files_are_accepted_without_a_link_and_without_done(folder: Path, cdash: CDash) -> None:
    cdash.faults = {name: ["deferred"] for name in ALL}
    report = send(folder, cdash)
    assert (report.left, report.link) == ({}, "")
    assert cdash.names() == ALL


def test_a_slow_answer_is_an_answer(folder: Path, cdash: CDash) -> None:
    cdash.faults = {"Build.xml": ["slow"]}
    assert send(folder, cdash).left == {}


def test_a_redirect_within_the_same_host_is_followed(folder: Path, cdash: CDash) -> None:
    cdash.faults = {"Build.xml": ["redirect /cdash/submit.php"]}
    assert send(folder, cdash).left == {}
    assert "PUT /cdash/submit.php" in cdash.requests
    assert cdash.names() == [*ALL, "Done.xml"]


@pytest.mark.parametrize("onward", ["http://other.invalid/submit.php", "/login"])
def test_a_redirect_elsewhere_gets_neither_file_nor_token(folder: Path, cdash: CDash, onward: str) -> None:
    cdash.faults = {"Update.xml": [f"redirect {onward}"]}
    report = send(folder, cdash)
    assert set(report.left) == set(ALL)
    assert set(report.left.values()) == {"ready"}
    assert "redirects to" in report.results[0].reason
    assert cdash.requests == ["PUT /submit.php"]


def test_a_server_that_speaks_no_tls_gets_nothing(folder: Path, cdash: CDash) -> None:
    tls = Server(url=f"https://127.0.0.1:{cdash.port}", project="Spack", token="t")
    report = submit(folder, server=tls, timing=TIMING)
    assert [result.delivery for result in report.results] == [Delivery.NOT_SENT]
    assert "no trusted connection" in report.results[0].reason
    assert set(report.left.values()) == {"ready"}


def test_no_server_leaves_all_ready_after_three_tries(folder: Path) -> None:
    with CDash() as gone:
        pass
    waits: list[float] = []
    report = submit(folder, server=server(gone), timing=Timing(sleep=waits.append))
    assert waits == [1, 5]
    assert report.left == dict.fromkeys(ALL, "ready")


def test_a_wrong_token_leaves_all_ready_and_the_right_one_sends_all(folder: Path, cdash: CDash) -> None:
    cdash.token = "right"
    report = submit(folder, server=server(cdash, token="wrong"), timing=TIMING)
    assert report.left == dict.fromkeys(ALL, "ready")
    assert len(cdash.requests) == 1
    assert submit(folder, server=server(cdash, token="right"), timing=TIMING).left == {}


def test_the_token_of_netrc_is_not_used(folder: Path, cdash: CDash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    send(folder, cdash)
    assert set(cdash.authorizations) == {""}


def test_a_document_that_check_refuses_is_not_sent(folder: Path, cdash: CDash) -> None:
    text = (folder / "Build.xml").read_text()
    (folder / "Build.xml").write_text(text.replace("<Build>", "<Build><Log>x</Log>"))
    report = send(folder, cdash)
    assert report.left == {"Build.xml": "refused"}
    assert any("does not store Build.xml's Log" in result.reason for result in report.results)
    assert "Build.xml" not in cdash.names()


def test_documents_of_two_builds_in_one_folder_are_refused(folder: Path, cdash: CDash) -> None:
    other = Site(name="other", build_name="b", build_stamp="20261122-0742-Spack")
    with write_whole(folder / "Notes.xml") as out:
        write.notes(out, site=other, notes=[Note(name="n", text="t", time_seconds=1)])
    with pytest.raises(BadInput, match="2 builds"):
        send(folder, cdash)


def test_what_a_dead_sender_had_claimed_is_unknown(folder: Path, cdash: CDash) -> None:
    (folder / "Build.xml").rename(folder / "Build.xml.sending")
    assert send(folder, cdash).left == {"Build.xml": "unknown"}
    assert "Build.xml" not in cdash.names()


def test_what_a_living_sender_has_claimed_is_left_alone(folder: Path, cdash: CDash) -> None:
    with spool.claimed(folder, "Build.xml", "ready") as path:
        assert path is not None
        assert send(folder, cdash, again=True).left == {"Build.xml": "sending"}
    assert "Build.xml" not in cdash.names()
    assert "Done.xml" not in cdash.names()


def test_many_senders_send_each_document_once(folder: Path, cdash: CDash) -> None:
    context = multiprocessing.get_context("spawn")
    senders = [context.Process(target=submit, args=(folder,), kwargs={"server": server(cdash)}) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert [sender.exitcode for sender in senders] == [0, 0, 0]
    names = cdash.names()
    assert sorted(set(names)) == sorted([*ALL, "Done.xml"])
    assert [name for name in names if name != "Done.xml"] == sorted(ALL, key=names.index)
    assert names[-1] == "Done.xml"


def test_two_senders_that_find_all_sent_send_done_once(folder: Path, cdash: CDash) -> None:
    for name in ALL:
        (folder / name).rename(folder / f"{name}.sent")
    spool.add_receipt(folder, "Build.xml", build_id="4711", link="")
    asked: list[float] = []

    def now() -> float:
        asked.append(time.monotonic())
        time.sleep(0.3)  # the other one has time to write a Done.xml of its own
        return 1.8e9

    with ThreadPoolExecutor(2) as senders:
        sent = [senders.submit(submit, folder, server=server(cdash), timing=Timing(now=now)) for _ in range(2)]
    assert all(one.result().link for one in sent)
    assert (len(asked), cdash.names()) == (1, ["Done.xml"])


def test_progress_is_told_to_the_last_byte(folder: Path, cdash: CDash) -> None:
    add_large_upload(folder)
    told: dict[str, tuple[int, int]] = {}
    submit(
        folder,
        server=server(cdash),
        timing=TIMING,
        listener=Listener(sent=lambda name, sent, size: told.__setitem__(name, (sent, size))),
    )
    assert told["Upload.xml"][0] == told["Upload.xml"][1] > 4_000_000
