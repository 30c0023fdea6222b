"""Seals of queries, answers and demonstrations, and the episodes that feedback may be about."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("episode", sa.String(), nullable=True))
    op.add_column("decisions", sa.Column("query_seal", sa.String(), nullable=True))
    op.create_index("ix_decisions_episode", "decisions", ["episode", "created_at"])
    op.add_column("calls", sa.Column("seal", sa.String(), nullable=True))
    op.add_column("feedback", sa.Column("seal", sa.String(), nullable=True))
    op.add_column("feedback", sa.Column("episode", sa.String(), nullable=True))
    op.add_column("feedback", sa.Column("share", sa.Float(), nullable=True))
