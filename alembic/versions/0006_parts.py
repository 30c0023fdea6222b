"""The parent of an inference that answers a part of a decomposed request."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("parent_id", sa.String(), nullable=True))
