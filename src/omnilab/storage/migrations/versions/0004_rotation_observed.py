"""What rotation is watched by: addresses of secrets, overlap and warnings; address lists of clients; hand-off links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clients", sa.Column("token_addresses", sa.Text()))
    op.add_column("clients", sa.Column("api_addresses", sa.Text()))
    op.add_column("secrets", sa.Column("overlap_seconds", sa.BigInteger()))
    op.add_column("secrets", sa.Column("warned_days", sa.BigInteger()))
    op.create_table(
        "secret_addresses",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("use_count", sa.BigInteger(), nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "secret_id", "address"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hand_offs",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("hand_off_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("claim_digest", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text()),
        sa.Column("secret_lifetime_seconds", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger()),
        sa.Column("secret_id", sa.Text()),
        sa.PrimaryKeyConstraint("tenant_id", "hand_off_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("hand_offs_by_id", "hand_offs", ["hand_off_id"], unique=True)


def downgrade() -> None:
    op.drop_index("hand_offs_by_id", table_name="hand_offs")
    op.drop_table("hand_offs")
    op.drop_table("secret_addresses")
    for table, name in (("secrets", "warned_days"), ("secrets", "overlap_seconds")):
        op.drop_column(table, name)
    for name in ("api_addresses", "token_addresses"):
        op.drop_column("clients", name)
