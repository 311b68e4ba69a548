"""The history, in SQLite and in PostgreSQL alike."""

import concurrent.futures
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sizing.builds import Build
from sizing.documents import read_build
from sizing.errors import BadRequest, HistoryError
from sizing.history.history import MIGRATIONS, open_history
from sizing.history.tables import METADATA, REVISION
from sizing.ingest import ingest
from sizing.sources.folder import Folder
from status_line.progress import silent
from tests.labs import postgres
from tests.labs.checkout import ROOT
from tests.labs.sizing import DAY, NOW, document, upload

NewHistory = Callable[[], str]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    binaries = postgres.programs()
    if binaries is None:
        pytest.skip("no PostgreSQL: scripts/system-packages installs it, on Debian as root")
    with postgres.running(binaries) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty history of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "history.sqlite")
    url: str = request.getfixturevalue("server").database()
    return url


def build(name: str = "hdf5", *, trusted: bool = True, **changes: Any) -> Build:
    return read_build(json.dumps(document(name, **changes)).encode(), trusted=trusted, now=NOW)


def test_builds_come_back_as_they_were_in_the_order_in_which_they_ended(where: str) -> None:
    builds = [build(ended=NOW - day * DAY, job={"id": str(day)}) for day in (1, 9, 5)]
    other = build("zlib", outcome="evaporated", totals={"memory_working_set_peak_bytes": None}, spec={"build_jobs": 0})
    with open_history(where) as history:
        history.add([*builds, other])
    with open_history(where) as history:
        assert list(history.builds(name="hdf5")) == sorted(builds, key=lambda one: one.ended)
        assert list(history.builds(name="zlib")) == [other]
        assert len(list(history.builds(since=NOW - 6 * DAY))) == 3
        assert history.known([other.digest, "x"]) == {other.digest: True}


def test_a_second_reading_changes_nothing_but_that_a_trusted_place_gives_trust(where: str) -> None:
    with open_history(where) as history:
        for trusted in (False, False, True, False, True):
            history.add([build(trusted=trusted), build(trusted=trusted)])
            assert sum(1 for _ in history.builds()) == 1
        assert list(history.digests(trusted=True)) == [build().digest]


def test_what_is_set_aside_has_its_reason_and_may_become_a_build(where: str) -> None:
    good = build()
    with open_history(where) as history:
        history.set_aside([(good.digest, "a/b.json", "version 2 of telemetry"), ("d2", "a" * 2000, "r" * 2000)], now=NOW)
        history.set_aside([(good.digest, "elsewhere", "another reason")], now=NOW)
        assert history.aside()[0] == ("a/b.json", "version 2 of telemetry")
        assert set(history.digests(trusted=True)) == {good.digest, "d2"}
        history.add([good])
        assert len(history.aside()) == 1


def test_when_a_source_was_listed_is_kept(where: str) -> None:
    with open_history(where) as history:
        assert history.listed("s3://b/") is None
        history.set_listed("s3://b/", at=1.5)
        history.set_listed("s3://b/", at=2.5)
        assert history.listed("s3://b/") == 2.5


_WRITER = """
import json, sys
from sizing.documents import read_build
from sizing.history.history import MIGRATIONS, open_history
from tests.labs.sizing import NOW, document
number = int(sys.argv[2])
with open_history(sys.argv[1]) as history:
    for part in range(20):
        made = [document(job={"id": str(i)}, stack=0) for i in range(part * 50, part * 50 + 60)]
        made.append(document("own", job={"id": f"{number}-{part}"}))
        history.add([read_build(json.dumps(one).encode(), trusted=bool(number % 2), now=NOW) for one in made])
"""


@pytest.mark.timeout(300)
def test_writers_that_open_a_new_history_at_once_lose_nothing(where: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, where, str(number)], cwd=ROOT, stderr=subprocess.PIPE)
        for number in range(4)
    ]
    ends = [(process.communicate()[1].decode(), process.returncode) for process in writers]
    assert ends == [("", 0)] * 4
    with open_history(where) as history:
        assert sum(1 for _ in history.builds(name="own")) == 80
        shared = list(history.builds(name="hdf5"))
        assert (len(shared), all(one.trusted for one in shared)) == (1010, True)


def test_a_reader_sees_whole_parts_while_another_writes(where: str) -> None:
    with open_history(where) as reader, open_history(where) as writer:
        writer.add([build(job={"id": str(number)}) for number in range(6000)])
        rows = reader.builds()
        next(rows)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(writer.add, [build("zlib")]).result(timeout=60)
        assert sum(1 for _ in rows) == 5999


def test_the_newest_migration_leaves_the_tables_that_the_code_knows(where: str) -> None:
    with open_history(where) as history, history.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert [one for one in compare_metadata(context, METADATA) if "alembic_version" not in str(one)] == []
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION


def test_a_history_of_a_newer_version_is_refused(where: str) -> None:
    with open_history(where) as history, history.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HistoryError, match="of a newer spack-farm"), open_history(where):
        pass


@pytest.mark.parametrize("revision", ["00005f2a", "27c6a30d7c24"])
def test_the_tables_of_another_program_are_no_history(where: str, revision: str) -> None:
    with open_history(where) as history, history.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    with pytest.raises(HistoryError, match="is not a history of spack-farm"), open_history(where):
        pass


def test_who_only_reads_makes_no_history(tmp_path: Path) -> None:
    where = tmp_path / "typo" / "history.sqlite"
    with (
        pytest.raises(HistoryError, match=r"there is no history .*typo.* 'spack-farm sizing ingest' makes one"),
        open_history(str(where), makes=False),
    ):
        pass
    assert not where.parent.exists()


def test_a_history_that_cannot_be_looked_for_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(HistoryError, match="can't be read: File name too long"),
        open_history(str(tmp_path / ("n" * 300)), makes=False),
    ):
        pass


def test_a_hash_may_be_given_by_its_beginning(where: str) -> None:
    one, other = build("one", spec={"hash": "abc1_"}), build("other", spec={"hash": "abc2x"})
    with open_history(where) as history:
        history.add([one, other])
        assert list(history.builds(dag_hash="abc1")) == [one]
        assert len(list(history.builds(dag_hash="abc"))) == 2
        assert list(history.builds(dag_hash="abc__")) == [], "no pattern"


def test_hostile_texts_are_stored_alike(where: str, tmp_path: Path) -> None:
    for number, job in enumerate(({"project": "a\0b"}, {"stack": "\ud83d\ude00\0"}, {"id": "\0"})):
        upload(document(job=job, ended=NOW - (number + 1) * DAY), tmp_path / "m")
    upload(document(version="\0"), tmp_path / "m")
    with open_history(where) as history:
        tally = ingest(Folder(tmp_path / "m"), history, now=NOW, again=False, progress=silent())
        assert (tally.new, tally.aside.total()) == (3, 1)


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ("mysql://host/db", BadRequest, "a history in 'mysql' is not known"),
        ("sqlite://", BadRequest, "is not known"),
        ("sqlite:///x.sqlite?timeout=abc", BadRequest, "without options"),
        (":memory:", BadRequest, "can't be kept"),
        ("postgresql://u:hush@127.0.0.1:1/db?connect_timeout=2", HistoryError, "can't be used"),
        ("postgresql://u:hush@[::1", BadRequest, "URL can't be read"),
        ("/proc/nothing/history.sqlite", HistoryError, "can't be made"),
        ("/etc/passwd", HistoryError, "can't be used: file is not a database"),
        ("/", HistoryError, "can't be used"),
    ],
)
def test_a_place_that_cannot_be_a_history_is_named_without_its_password(
    where: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised, open_history(where):
        pass
    assert "hush" not in str(raised.value)


def test_a_history_that_another_program_holds_locked_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with open_history(str(path)) as history:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            adding = pool.submit(history.add, [build()])
            with pytest.raises(concurrent.futures.TimeoutError):
                adding.result(timeout=0.5)
            holder.execute("COMMIT")
            adding.result(timeout=30)
        holder.close()
        assert sum(1 for _ in history.builds()) == 1
