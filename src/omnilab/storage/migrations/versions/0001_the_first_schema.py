"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audiences",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("lifetime_seconds", sa.BigInteger(), nullable=False),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("is_default", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "audience"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_chains",
        sa.Column("chain_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("head_position", sa.BigInteger(), nullable=False),
        sa.Column("head_at", sa.BigInteger(), nullable=False),
        sa.Column("head_seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id"),
        sqlite_with_rowid=False,
    )
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
        sqlite_with_rowid=False,
    )
    op.create_index("audit_records_in_chain", "audit_records", ["chain_id", "chain_position"], unique=True)
    op.create_index(
        "audit_refusals",
        "audit_records",
        ["tenant_id", "request_id"],
        unique=False,
        sqlite_where=sa.text("outcome = 'refused'"),
        postgresql_where=sa.text("outcome = 'refused'"),
    )
    op.create_table(
        "bookings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("slot_start_at", sa.BigInteger(), nullable=False),
        sa.Column("booking_id", sa.Text(), nullable=False),
        sa.Column("booking_status", sa.Text(), nullable=False),
        sa.Column("interaction_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_title", sa.Text(), nullable=True),
        sa.Column("event_location", sa.Text(), nullable=True),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("slot_end_at", sa.BigInteger(), nullable=False),
        sa.Column("ticket_type", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("checked_in_at", sa.BigInteger(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "external_id", "slot_start_at", "booking_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("bookings_by_id", "bookings", ["tenant_id", "booking_id"], unique=True)
    op.create_table(
        "changes",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "client_directory",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("client_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "clients",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("audiences", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=True),
        sa.Column("technical_contact", sa.Text(), nullable=True),
        sa.Column("token_quota", sa.Text(), nullable=True),
        sa.Column("api_quota", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "client_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entitlements",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "endpoint"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grants",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "client_id", "endpoint"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_records",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "client_id", "call", "key_digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("idempotency_by_expiry", "idempotency_records", ["expires_at"], unique=False)
    op.create_table(
        "installation",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "secret_use",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("use_count", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.Column("last_address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "secret_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "secrets",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("legacy", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("exposed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "client_id", "secret_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("secrets_by_digest", "secrets", ["digest"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "slots",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("interaction_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("slot_start_at", sa.BigInteger(), nullable=False),
        sa.Column("slot_end_at", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=True),
        sa.Column("places_taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "slot_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("token_quota", sa.Text(), nullable=True),
        sa.Column("api_quota", sa.Text(), nullable=True),
        sa.Column("sealed_contact_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
        sa.UniqueConstraint("tenant"),
    )


def downgrade() -> None:
    op.drop_table("tenants")
    op.drop_table("slots")
    op.drop_table("signing_keys")
    op.drop_index("secrets_by_digest", table_name="secrets")
    op.drop_table("secrets")
    op.drop_table("secret_use")
    op.drop_table("installation")
    op.drop_index("idempotency_by_expiry", table_name="idempotency_records")
    op.drop_table("idempotency_records")
    op.drop_table("grants")
    op.drop_table("entitlements")
    op.drop_table("clients")
    op.drop_table("client_directory")
    op.drop_table("changes")
    op.drop_index("bookings_by_id", table_name="bookings")
    op.drop_table("bookings")
    op.drop_index(
        "audit_refusals",
        table_name="audit_records",
        sqlite_where=sa.text("outcome = 'refused'"),
        postgresql_where=sa.text("outcome = 'refused'"),
    )
    op.drop_index("audit_records_in_chain", table_name="audit_records")
    op.drop_table("audit_records")
    op.drop_table("audit_chains")
    op.drop_table("audiences")
