"""On SQLite: audit records lie in the order in which they came, and their key is an index beside them.

As a table without row ids each record lay in the key's own B-tree, whose inner pages held whole records too: a third
more CPU and a seventh more writing for each record (docs/adr/0007). Records are copied, about 12 s for a million;
writers wait meanwhile. The file keeps the room of the old table for records to come.

Programs of 0005 work on this schema: the columns and the key are the same.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _copy(with_rowid=True)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _copy(with_rowid=False)


def _copy(*, with_rowid: bool) -> None:
    op.rename_table("audit_records", "audit_records_old")
    for name in ("audit_records_in_chain", "audit_refusals"):
        op.drop_index(name, "audit_records_old")
    op.create_table(
        "audit_records",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("chain_position", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "chain_position", "tenant_id"),
        sqlite_with_rowid=with_rowid,
    )
    op.execute("INSERT INTO audit_records SELECT * FROM audit_records_old ORDER BY request_id, chain_position")
    op.drop_table("audit_records_old")
    op.create_index("audit_records_in_chain", "audit_records", ["chain_id", "chain_position"], unique=True)
    op.create_index(
        "audit_refusals", "audit_records", ["tenant_id", "request_id"], sqlite_where=sa.text("outcome = 'refused'")
    )
