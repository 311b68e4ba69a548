"""The tables of the history, as the newest migration leaves them; a test compares the two.

Types are those that SQLite and PostgreSQL share: times are Unix times, amounts 64-bit integers.
"""

import sqlalchemy as sa

REVISION = "0001"
"""The newest migration."""
METADATA = sa.MetaData()
BUILDS = sa.Table(
    "builds",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("trusted", sa.Boolean, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("ended", sa.Double, nullable=False),
    sa.Column("outcome", sa.String(64), nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("version", sa.String(255), nullable=False),
    sa.Column("dag_hash", sa.String(255), nullable=False),
    sa.Column("compiler", sa.String(255), nullable=False),
    sa.Column("architecture", sa.String(255), nullable=False),
    sa.Column("expensive", sa.String(255), nullable=False),
    sa.Column("build_system", sa.String(255), nullable=False),
    sa.Column("jobs", sa.Integer, nullable=False),
    sa.Column("project", sa.String(255), nullable=False),
    sa.Column("job_id", sa.String(64), nullable=False),
    sa.Column("stack", sa.String(255), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("asked_cpu_millicores", sa.BigInteger),
    sa.Column("asked_memory_bytes", sa.BigInteger),
    sa.Column("limit_bytes", sa.BigInteger),
    sa.Column("killed_at_bytes", sa.BigInteger),
    sa.Column("working_set_peak_bytes", sa.BigInteger),
    sa.Column("anonymous_peak_bytes", sa.BigInteger),
    sa.Column("disk_peak_bytes", sa.BigInteger),
    sa.Column("cpu_seconds", sa.Double),
    sa.Column("wall_seconds", sa.Double),
    sa.Index("builds_by_name", "name", "ended"),
    sa.Index("builds_by_end", "ended"),
)
"""One row for each document, that is: each attempt of each build."""
SET_ASIDE = sa.Table(
    "set_aside",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("place", sa.String(1024), nullable=False),
    sa.Column("reason", sa.String(512), nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
)
"""Documents that count for nothing, with the reason; the documents themselves stay where they are."""
LISTED = sa.Table(
    "listed",
    METADATA,
    sa.Column("source", sa.String(1024), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
"""When each source with a folder for each day was last listed whole."""
