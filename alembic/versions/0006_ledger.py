"""Spend by key, the requests behind it, and the quality that exploration is believed to have given up."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEPT = ("day", "model", "account", "purpose", "usd", "explored_usd", "calls")


def upgrade() -> None:
    op.add_column("calls", sa.Column("key_id", sa.String(), nullable=True))
    op.add_column("calls", sa.Column("explored_quality", sa.Float(), nullable=True))
    # A primary key cannot be widened in place everywhere, so the table is made anew. Whose the old sums are is unknown.
    op.create_table(
        "spend_by_key",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("explored_usd", sa.Float(), nullable=False),
        sa.Column("explored_quality", sa.Float(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "model", "account", "purpose", "key_id"),
    )
    names = ", ".join(KEPT)
    op.execute(
        f"INSERT INTO spend_by_key ({names}, key_id, explored_quality, requests) SELECT {names}, '', 0.0, 0 FROM spend"
    )
    op.drop_table("spend")
    op.rename_table("spend_by_key", "spend")
