"""Which control answered a request, and the probability with which each would have."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("control", sa.String(), nullable=True))
    for name in ("best_chance", "cheapest_chance"):
        op.add_column("decisions", sa.Column(name, sa.Float(), nullable=False, server_default="0"))
