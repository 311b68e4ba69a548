from pathlib import Path

import pytest

from ctest_xml import spool
from ctest_xml.errors import BadInput
from ctest_xml.spool import State


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Build.xml", "Test.xml.sent", "Notes.xml.unknown", "Update.xml.refused", "Done.xml", "other.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_names_say_what_became_of_each_document_in_the_order_of_sending(folder: Path) -> None:
    assert list(spool.documents(folder).items()) == [
        ("Update.xml", "refused"),
        ("Build.xml", "ready"),
        ("Test.xml", "sent"),
        ("Notes.xml", "unknown"),
        ("Done.xml", "ready"),
    ]


def test_a_document_that_was_written_anew_is_ready(folder: Path) -> None:
    (folder / "Test.xml").write_text("anew")
    assert spool.documents(folder)["Test.xml"] == "ready"


def test_folders_with_documents_are_found_at_any_depth(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "Build.xml.sent").write_text("x")
    assert spool.folders(folder) == [folder, folder / "a" / "b"]


@pytest.mark.parametrize(("name", "message"), [("a", "holds none of"), ("nowhere", "is not a folder")])
def test_a_folder_without_documents_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(BadInput, match=message):
        spool.folders(tmp_path / name)


@pytest.mark.parametrize("state", ["sent", "refused", "unknown", "ready"])
def test_a_claimed_document_is_settled_under_a_new_name(folder: Path, state: State) -> None:
    with spool.claimed(folder, "Build.xml", "ready") as path:
        assert path == folder / "Build.xml.sending"
        spool.settle(folder, "Build.xml", state)
    assert spool.documents(folder)["Build.xml"] == state


def test_a_document_is_claimed_once(folder: Path) -> None:
    with spool.claimed(folder, "Build.xml", "ready"):
        with spool.claimed(folder, "Build.xml", "ready") as second:
            assert second is None
        with spool.claimed(folder, "Build.xml", "sending") as third:
            assert third is None


def test_a_document_that_is_not_there_cannot_be_claimed(folder: Path) -> None:
    with spool.claimed(folder, "Configure.xml", "ready") as path:
        assert path is None


def test_what_a_dead_sender_had_claimed_is_unknown_and_what_a_living_one_has_is_not(folder: Path) -> None:
    (folder / "Configure.xml.sending").write_text("abandoned")
    with spool.claimed(folder, "Build.xml", "ready"):
        spool.mark_abandoned(folder)
        assert spool.documents(folder)["Build.xml"] == "sending"
    assert spool.documents(folder)["Configure.xml"] == "unknown"


def test_the_last_build_id_that_was_given_counts(folder: Path) -> None:
    assert spool.build_id(folder) == ""
    spool.add_receipt(folder, "Build.xml", build_id="1", link="")
    spool.add_receipt(folder, "Test.xml", build_id="2", link="")
    spool.add_receipt(folder, "Notes.xml", build_id="", link="")
    with (folder / "receipts.jsonl").open("a") as file:
        file.write('{"file": "Upload.xml", "bui')  # a sender that was killed while it wrote
    assert spool.build_id(folder) == "2"
