"""How much of a call's cost exploration causes, in place of whether it does."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("explored_share", sa.Float(), nullable=True))
    calls = sa.table("calls", sa.column("explored", sa.Boolean), sa.column("explored_share", sa.Float))
    op.execute(sa.update(calls).where(calls.c.explored).values(explored_share=1.0))
    with op.batch_alter_table("calls") as table:
        table.drop_column("explored")
