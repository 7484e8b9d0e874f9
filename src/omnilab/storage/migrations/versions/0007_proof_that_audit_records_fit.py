"""On PostgreSQL, the second step: look through the records there are. Reads and writes go on meanwhile."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_records VALIDATE CONSTRAINT audit_records_before")


def downgrade() -> None:
    """A promise that was proved takes nothing back."""
