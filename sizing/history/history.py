"""The history: opens SQLite or PostgreSQL by URL, migrates it, adds builds and reads them.

Safe under several writers: SQLite writes take turns (WAL, `BEGIN IMMEDIATE`), PostgreSQL's migrations hold an advisory lock,
and every write is an upsert by the document's digest. A build stays trusted once a trusted place has shown it.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from sizing.builds import Build
from sizing.errors import BadRequest, HistoryError
from sizing.history.tables import BUILDS, LISTED, REVISION, SET_ASIDE

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x5BACFA12
"""Of PostgreSQL's advisory locks, the one that migrations hold."""
_BUSY_SECONDS = 60
_AT_ONCE = 5_000
"""Values of a statement: SQLite takes 32,766."""
_FIELDS = [field.name for field in dataclasses.fields(Build)]


class History:
    """An open history. Not shared between threads."""

    def __init__(self, engine: sa.Engine, *, name: str) -> None:
        """Take an engine whose tables are those of the newest migration."""
        self.engine = engine
        self.name = name
        """Where it is, without a password."""

    def known(self, digests: Sequence[str]) -> dict[str, bool]:
        """Return which of the digests are those of builds, and whether each is trusted."""
        found: dict[str, bool] = {}
        with self._reading() as connection:
            for some in _parts(list(dict.fromkeys(digests)), _AT_ONCE):
                query = sa.select(BUILDS.c.digest, BUILDS.c.trusted).where(BUILDS.c.digest.in_(some))
                found.update((row[0], row[1]) for row in connection.execute(query))
        return found

    def digests(self, *, trusted: bool) -> Iterator[str]:
        """Yield the digests of all documents set aside and of all builds; with `trusted`, of trusted builds only."""
        builds = sa.select(BUILDS.c.digest).where(BUILDS.c.trusted) if trusted else sa.select(BUILDS.c.digest)
        with self._reading() as connection:
            for query in (builds, sa.select(SET_ASIDE.c.digest)):
                yield from connection.execution_options(yield_per=5_000).execute(query).scalars()

    def add(self, builds: Iterable[Build]) -> None:
        """Add builds; one that is there only may become trusted."""
        rows = list({build.digest: {name: getattr(build, name) for name in _FIELDS} for build in builds}.values())
        if not rows:
            return
        insert = self._insert(BUILDS)
        either = sa.or_(BUILDS.c.trusted, insert.excluded.trusted)
        with self._writing() as connection:
            connection.execute(sa.delete(SET_ASIDE).where(SET_ASIDE.c.digest.in_([row["digest"] for row in rows])))
            connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_={"trusted": either}), rows)

    def set_aside(self, documents: Iterable[tuple[str, str, str]], *, now: float) -> None:
        """Keep the digest, the place and the reason of documents that count for nothing."""
        rows = [
            {"digest": digest, "place": place[:1024], "reason": reason[:512], "seen": now}
            for digest, place, reason in documents
        ]
        if not rows:
            return
        with self._writing() as connection:
            connection.execute(self._insert(SET_ASIDE).on_conflict_do_nothing(index_elements=["digest"]), rows)

    def forget_aside(self, digests: Sequence[str]) -> None:
        """Forget documents that were set aside: they have been read again."""
        with self._writing() as connection:
            for some in _parts(digests, _AT_ONCE):
                connection.execute(sa.delete(SET_ASIDE).where(SET_ASIDE.c.digest.in_(some)))

    def aside(self) -> list[tuple[str, str]]:
        """Return place and reason of what was set aside, in the order of places."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(SET_ASIDE.c.place, SET_ASIDE.c.reason).order_by(SET_ASIDE.c.place))
            return [(row[0], row[1]) for row in rows]

    def listed(self, source: str) -> float | None:
        """Return when a source was last listed whole."""
        with self._reading() as connection:
            found: float | None = connection.execute(sa.select(LISTED.c.at).where(LISTED.c.source == source)).scalar()
            return found

    def set_listed(self, source: str, *, at: float) -> None:
        """Keep when a source was listed whole."""
        statement = self._insert(LISTED).values(source=source, at=at)
        with self._writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["source"], set_={"at": at}))

    def builds(self, *, name: str | None = None, since: float | None = None, dag_hash: str | None = None) -> Iterator[Build]:
        """Yield builds in the order in which they ended: of one package or all, that ended at a time or later.

        `dag_hash`: of specs whose hash begins with it.
        """
        query = sa.select(*(BUILDS.c[field] for field in _FIELDS)).order_by(BUILDS.c.ended, BUILDS.c.digest)
        if name is not None:
            query = query.where(BUILDS.c.name == name)
        if since is not None:
            query = query.where(BUILDS.c.ended >= since)
        if dag_hash is not None:
            query = query.where(BUILDS.c.dag_hash.startswith(dag_hash, autoescape=True))
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=5_000).execute(query):
                yield Build(**dict(zip(_FIELDS, row, strict=True)))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self.engine.dialect.name == "sqlite" else postgresql).insert(table)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _our_errors(self.name), self.engine.connect() as connection:
            yield connection.execution_options(reads=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _our_errors(self.name), self.engine.begin() as connection:
            yield connection


@contextlib.contextmanager
def open_history(where: str, *, makes: bool = True) -> Iterator[History]:
    """Open a history, at a path or a URL `sqlite:///PATH` or `postgresql://…`; make or migrate its tables where needed.

    Raises BadRequest for another URL, HistoryError if it can't be used; without `makes` also if there is no such file.
    """
    url = _url(where)
    name = url.render_as_string(hide_password=True)
    try:
        engine = _sqlite(url, name, makes=makes) if url.get_backend_name() == "sqlite" else sa.create_engine(url)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"the history's URL can't be used: {error}") from error
    try:
        with _our_errors(name):
            _migrate(engine, name)
        yield History(engine, name=name)
    finally:
        engine.dispose()


def _url(where: str) -> sa.URL:
    try:
        url = make_url(where) if "://" in where else sa.URL.create("sqlite", database=where)
        where.encode()
    except (sa.exc.ArgumentError, ValueError) as error:
        raise BadRequest("the history's URL can't be read: give a path, sqlite:///PATH or postgresql://HOST/NAME") from error
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite" or not url.database:
        raise BadRequest(
            f"a history in {url.drivername!r} is not known: give a path, sqlite:///PATH or postgresql://HOST/NAME"
        )
    if url.query or url.database == ":memory:":
        raise BadRequest(
            f"the history {url.render_as_string()} can't be kept: give a path, or sqlite:///PATH without options"
        )
    return url


def _sqlite(url: sa.URL, name: str, *, makes: bool) -> sa.Engine:
    """Return an engine whose transactions take the write lock at once: two writers wait for each other, none fails."""
    assert url.database
    path = Path(url.database)
    try:
        if makes:
            path.parent.mkdir(parents=True, exist_ok=True)
        is_missing = not makes and not path.exists()
    except OSError as error:
        raise HistoryError(
            f"the history {name} can't be {'made' if makes else 'read'}: {error.strerror}; name another place with --history"
        ) from error
    if is_missing:
        raise HistoryError(f"there is no history {name}: 'spack-farm sizing ingest' makes one; see --history")
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own would begin transactions late, and commit before changes of tables
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")

    return engine


def _migrate(engine: sa.Engine, name: str) -> None:
    """Bring the tables to the newest migration; nothing is done, and Alembic not loaded, where they are."""
    with engine.connect() as connection:
        if _revision(connection.execution_options(reads=True)) == REVISION:
            return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = _revision(connection)
        if found == REVISION:
            return  # another process did it meanwhile
        if found is not None and found > REVISION and found.isdecimal():
            raise HistoryError(f"the history {name} is of a newer spack-farm (revision {found}): upgrade this one")
        from alembic import command  # noqa: PLC0415  a fifth of a second, once in the life of a history
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util.exc import CommandError  # noqa: PLC0415

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise HistoryError(
                f"{name} is not a history of spack-farm: it has tables of revision {found}; see --history"
            ) from error


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


@contextlib.contextmanager
def _our_errors(name: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = " ".join(str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).split())[:300]
        raise HistoryError(f"the history {name} can't be used: {reason}; see --history") from error


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
