"""Indexes that hold all that savings are estimated from: a month is summed without reading the rows."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEXES = {
    "decisions": [
        "created_at", "id", "stage", "parent_id", "status", "control", "arm", "best_chance", "cheapest_chance",
        "confidence", "category",
    ],
    "calls": ["inference_id", "purpose", "cost_usd"],
}  # fmt: skip


def upgrade() -> None:
    for table, columns in INDEXES.items():
        name = f"ix_{table}_{columns[0]}"
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
