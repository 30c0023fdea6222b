"""The parent of an inference that answers a part of a decomposed request."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("parent_id", sa.String(), nullable=True))
