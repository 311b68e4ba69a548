"""The first tables: builds, documents set aside, when sources were listed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    texts = {"version": 255, "dag_hash": 255, "compiler": 255, "architecture": 255, "expensive": 255, "build_system": 255}
    amounts = (
        "asked_cpu_millicores", "asked_memory_bytes", "limit_bytes", "killed_at_bytes", "working_set_peak_bytes",
        "anonymous_peak_bytes", "disk_peak_bytes",
    )  # fmt: skip
    op.create_table(
        "builds",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in texts.items()),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("project", sa.String(255), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("stack", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in amounts),
        sa.Column("cpu_seconds", sa.Double),
        sa.Column("wall_seconds", sa.Double),
    )
    op.create_index("builds_by_name", "builds", ["name", "ended"])
    op.create_index("builds_by_end", "builds", ["ended"])
    op.create_table(
        "set_aside",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("place", sa.String(1024), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
    )
    op.create_table(
        "listed", sa.Column("source", sa.String(1024), primary_key=True), sa.Column("at", sa.Double, nullable=False)
    )
