"""Access tokens that were revoked one by one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "token_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("revoked_tokens_by_expiry", "revoked_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_index("revoked_tokens_by_expiry", table_name="revoked_tokens")
    op.drop_table("revoked_tokens")
