"""What readers of the help centre say of its pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "help_feedback",
        sa.Column("feedback_id", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("helpful", sa.BigInteger(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("feedback_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("help_feedback_by_time", "help_feedback", ["created_at"])


def downgrade() -> None:
    op.drop_index("help_feedback_by_time", table_name="help_feedback")
    op.drop_table("help_feedback")
