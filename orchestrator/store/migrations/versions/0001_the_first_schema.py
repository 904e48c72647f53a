"""Create the first schema.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("funds_end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warned_seconds", sa.Integer(), nullable=True),
        sa.Column("next_charge_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_admitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_step", sa.String(length=32), nullable=True),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "next_step IN ('admit', 'ping', 'warn', 'stop', 'open', 'resolve', 'close', 'funds', 'charge')",
            name=op.f("ck_accounts_next_step_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    with op.batch_alter_table("accounts") as batch_op:
        batch_op.create_index(
            "ix_accounts_due",
            ["next_step", "next_step_at"],
            unique=False,
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )

    op.create_table(
        "brakes",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("credential", sa.String(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_brakes")),
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("serialised", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("paused_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_reason", sa.String(), nullable=True),
        sa.Column("resting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cool_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
    )
    with op.batch_alter_table("credentials") as batch_op:
        batch_op.create_index("ix_credentials_provider", ["provider", "last_used_at"], unique=False)

    op.create_table(
        "inbox",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_inbox")),
    )
    with op.batch_alter_table("inbox") as batch_op:
        batch_op.create_index("ix_inbox_received", ["received_at"], unique=False)

    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("debit", sa.String(), nullable=False),
        sa.Column("credit", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_ledger_amount_not_negative")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_ledger_two_books")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    with op.batch_alter_table("ledger") as batch_op:
        batch_op.create_index("ix_ledger_account", ["account_id", "id"], unique=False)
        batch_op.create_index("ix_ledger_session", ["session_id"], unique=False)
        batch_op.create_index("uq_ledger_key", ["key"], unique=True)

    op.create_table(
        "meters",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("pings", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=True),
        sa.Column("balance_currency", sa.String(), nullable=True),
        sa.Column("balance_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("balance_is_low", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_meters")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("providers", sa.JSON(), nullable=False),
        sa.Column("provider_model_ids", sa.JSON(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("size", sa.String(), nullable=False),
        sa.Column("learning_stage", sa.String(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("files_uploaded", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("price_per_node_hour", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("max_duration_seconds", sa.Integer(), nullable=True),
        sa.Column("max_interactions", sa.Integer(), nullable=True),
        sa.CheckConstraint("source IN ('catalog', 'private')", name=op.f("ck_models_source_known")),
        sa.CheckConstraint("type IN ('LLM', 'VLM', 'ASR')", name=op.f("ck_models_type_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.create_index("ix_outbox_subject", ["subject", "seq"], unique=False)
        batch_op.create_index(
            "ix_outbox_waiting",
            ["seq"],
            unique=False,
            postgresql_where=sa.text("delivered_at IS NULL"),
            sqlite_where=sa.text("delivered_at IS NULL"),
        )
        batch_op.create_index("uq_outbox_id", ["id"], unique=True)

    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("max_duration_seconds", sa.Integer(), nullable=True),
        sa.Column("max_interactions", sa.Integer(), nullable=True),
        sa.Column("idle_seconds", sa.Integer(), nullable=True),
        sa.Column("max_cost", sa.BigInteger(), nullable=True),
        sa.Column("failover", sa.Boolean(), nullable=False),
        sa.Column("on_quota", sa.String(length=32), nullable=False),
        sa.Column("provider_options", sa.JSON(), nullable=False),
        sa.Column("pinned_provider", sa.String(), nullable=True),
        sa.Column("pinned_credential", sa.String(), nullable=True),
        sa.Column("attach", sa.JSON(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("request_digest", sa.String(), nullable=False),
        sa.Column("model_max_duration_seconds", sa.Integer(), nullable=True),
        sa.Column("model_max_interactions", sa.Integer(), nullable=True),
        sa.Column("plan_max_duration_seconds", sa.Integer(), nullable=False),
        sa.Column("price_per_node_hour", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("block_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queue_deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queue_reason", sa.String(), nullable=True),
        sa.Column("starting_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("running_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("running_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ran_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("interactions", sa.BigInteger(), nullable=False),
        sa.Column("last_interaction_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("limit_reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("placements", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("credential", sa.String(), nullable=True),
        sa.Column("declared_end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stop_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stop_at_reason", sa.String(length=32), nullable=True),
        sa.Column("warn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warned_seconds", sa.Integer(), nullable=True),
        sa.Column("stop_reason", sa.String(length=32), nullable=True),
        sa.Column("stop_detail", sa.String(), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ping_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_ping_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_verdict", sa.String(length=32), nullable=True),
        sa.Column("last_latency_ms", sa.Integer(), nullable=True),
        sa.Column("last_ping_detail", sa.String(), nullable=True),
        sa.Column("last_alive_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("loading_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unusable_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_step", sa.String(length=32), nullable=True),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(state = 'running') = (running_since IS NOT NULL)", name=op.f("ck_sessions_running_is_metered")
        ),
        sa.CheckConstraint(
            "last_verdict IN ('ALIVE', 'THROTTLED', 'LOADING', 'TRANSIENT', 'GONE', 'CREDENTIALS', 'OUT_OF_BALANCE', 'MISCONFIGURED')",
            name=op.f("ck_sessions_last_verdict_known"),
        ),
        sa.CheckConstraint(
            "next_step IN ('admit', 'ping', 'warn', 'stop', 'open', 'resolve', 'close', 'funds', 'charge')",
            name=op.f("ck_sessions_next_step_known"),
        ),
        sa.CheckConstraint("on_quota IN ('reject', 'queue')", name=op.f("ck_sessions_on_quota_known")),
        sa.CheckConstraint(
            "state <> 'running' OR stop_at IS NOT NULL", name=op.f("ck_sessions_running_has_deadline")
        ),
        sa.CheckConstraint(
            "state IN ('created', 'queued', 'starting', 'running', 'stopping', 'stopped', 'failed')",
            name=op.f("ck_sessions_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('queued', 'starting', 'running') OR next_step IS NOT NULL",
            name=op.f("ck_sessions_live_has_step"),
        ),
        sa.CheckConstraint(
            "stop_at_reason IN ('user', 'operator', 'max_duration', 'max_interactions', 'idle', 'max_cost', 'model_limit', 'balance_exhausted', 'dead', 'provider_ended', 'start_failed', 'start_timeout', 'queue_timeout')",
            name=op.f("ck_sessions_stop_at_reason_known"),
        ),
        sa.CheckConstraint(
            "stop_reason IN ('user', 'operator', 'max_duration', 'max_interactions', 'idle', 'max_cost', 'model_limit', 'balance_exhausted', 'dead', 'provider_ended', 'start_failed', 'start_timeout', 'queue_timeout')",
            name=op.f("ck_sessions_stop_reason_known"),
        ),
        sa.CheckConstraint(
            "(next_step IS NULL) = (next_step_at IS NULL)", name=op.f("ck_sessions_step_has_time")
        ),
        sa.CheckConstraint("nodes >= 1", name=op.f("ck_sessions_nodes_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_sessions_model_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions") as batch_op:
        batch_op.create_index(
            "ix_sessions_account_state",
            ["account_id", "state"],
            unique=False,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )
        batch_op.create_index("ix_sessions_created", ["created_at"], unique=False)
        batch_op.create_index(
            "ix_sessions_died",
            ["provider", "stopped_at"],
            unique=False,
            postgresql_where=sa.text("stop_reason = 'dead'"),
            sqlite_where=sa.text("stop_reason = 'dead'"),
        )
        batch_op.create_index(
            "ix_sessions_due",
            ["next_step", "next_step_at"],
            unique=False,
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_sessions_running",
            ["provider", "credential"],
            unique=False,
            postgresql_where=sa.text("state = 'running'"),
            sqlite_where=sa.text("state = 'running'"),
        )
        batch_op.create_index(
            "ix_sessions_stop_at",
            ["stop_at"],
            unique=False,
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_sessions_account_name",
            ["account_id", "name"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "placements",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("credential", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("serialised", sa.Boolean(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("provider_model_id", sa.String(), nullable=False),
        sa.Column("model_type", sa.String(length=32), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("price_per_node_hour", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("attach", sa.JSON(), nullable=True),
        sa.Column("duration_seconds", sa.Integer(), nullable=False),
        sa.Column("handle", sa.String(), nullable=True),
        sa.Column("candidate", sa.String(), nullable=True),
        sa.Column("endpoint_url", sa.String(), nullable=True),
        sa.Column("endpoint_model", sa.String(), nullable=True),
        sa.Column("endpoint_auth", sa.String(), nullable=True),
        sa.Column("secret_ref", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("declared_end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unproven_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("proof", sa.String(), nullable=True),
        sa.Column("last_answer", sa.String(), nullable=True),
        sa.Column("refused_by", sa.String(length=32), nullable=True),
        sa.Column("possible_orphans", sa.Boolean(), nullable=False),
        sa.Column("ping_variant", sa.String(), nullable=True),
        sa.Column("next_step", sa.String(length=32), nullable=True),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "model_type IN ('LLM', 'VLM', 'ASR')", name=op.f("ck_placements_model_type_known")
        ),
        sa.CheckConstraint(
            "next_step IN ('admit', 'ping', 'warn', 'stop', 'open', 'resolve', 'close', 'funds', 'charge')",
            name=op.f("ck_placements_next_step_known"),
        ),
        sa.CheckConstraint(
            "refused_by IN ('credential', 'provider')", name=op.f("ck_placements_refused_by_known")
        ),
        sa.CheckConstraint(
            "state <> 'closed' OR proof IS NOT NULL", name=op.f("ck_placements_closed_has_proof")
        ),
        sa.CheckConstraint(
            "state IN ('opening', 'open', 'unknown', 'closing', 'closed', 'never_opened')",
            name=op.f("ck_placements_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('opening', 'unknown', 'closing') OR next_step IS NOT NULL",
            name=op.f("ck_placements_live_has_step"),
        ),
        sa.CheckConstraint(
            "(next_step IS NULL) = (next_step_at IS NULL)", name=op.f("ck_placements_step_has_time")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_placements_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placements")),
    )
    with op.batch_alter_table("placements") as batch_op:
        batch_op.create_index(
            "ix_placements_due",
            ["next_step", "next_step_at"],
            unique=False,
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_placements_unended",
            ["account_id"],
            unique=False,
            postgresql_where=sa.text("NOT (state IN ('closed', 'never_opened'))"),
            sqlite_where=sa.text("NOT (state IN ('closed', 'never_opened'))"),
        )
        batch_op.create_index(
            "uq_placements_exclusive",
            ["provider", "credential"],
            unique=True,
            postgresql_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
            sqlite_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
        )
        batch_op.create_index(
            "uq_placements_handle",
            ["provider", "handle"],
            unique=True,
            postgresql_where=sa.text("handle IS NOT NULL AND NOT state IN ('closed', 'never_opened')"),
            sqlite_where=sa.text("handle IS NOT NULL AND NOT state IN ('closed', 'never_opened')"),
        )
        batch_op.create_index(
            "uq_placements_secret",
            ["provider", "fingerprint"],
            unique=True,
            postgresql_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
            sqlite_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
        )
        batch_op.create_index(
            "uq_placements_serving",
            ["session_id"],
            unique=True,
            postgresql_where=sa.text("session_id IS NOT NULL AND state IN ('opening', 'open', 'unknown')"),
            sqlite_where=sa.text("session_id IS NOT NULL AND state IN ('opening', 'open', 'unknown')"),
        )
        batch_op.create_index("uq_placements_session_n", ["session_id", "n"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("placements") as batch_op:
        batch_op.drop_index("uq_placements_session_n")
        batch_op.drop_index(
            "uq_placements_serving",
            postgresql_where=sa.text("session_id IS NOT NULL AND state IN ('opening', 'open', 'unknown')"),
            sqlite_where=sa.text("session_id IS NOT NULL AND state IN ('opening', 'open', 'unknown')"),
        )
        batch_op.drop_index(
            "uq_placements_secret",
            postgresql_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
            sqlite_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
        )
        batch_op.drop_index(
            "uq_placements_handle",
            postgresql_where=sa.text("handle IS NOT NULL AND NOT state IN ('closed', 'never_opened')"),
            sqlite_where=sa.text("handle IS NOT NULL AND NOT state IN ('closed', 'never_opened')"),
        )
        batch_op.drop_index(
            "uq_placements_exclusive",
            postgresql_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
            sqlite_where=sa.text(
                "exclusive AND session_id IS NOT NULL AND NOT state IN ('closed', 'never_opened')"
            ),
        )
        batch_op.drop_index(
            "ix_placements_unended",
            postgresql_where=sa.text("NOT (state IN ('closed', 'never_opened'))"),
            sqlite_where=sa.text("NOT (state IN ('closed', 'never_opened'))"),
        )
        batch_op.drop_index(
            "ix_placements_due",
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )

    op.drop_table("placements")
    with op.batch_alter_table("sessions") as batch_op:
        batch_op.drop_index(
            "uq_sessions_account_name",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_sessions_stop_at",
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_sessions_running",
            postgresql_where=sa.text("state = 'running'"),
            sqlite_where=sa.text("state = 'running'"),
        )
        batch_op.drop_index(
            "ix_sessions_due",
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_sessions_died",
            postgresql_where=sa.text("stop_reason = 'dead'"),
            sqlite_where=sa.text("stop_reason = 'dead'"),
        )
        batch_op.drop_index("ix_sessions_created")
        batch_op.drop_index(
            "ix_sessions_account_state",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("sessions")
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_index("uq_outbox_id")
        batch_op.drop_index(
            "ix_outbox_waiting",
            postgresql_where=sa.text("delivered_at IS NULL"),
            sqlite_where=sa.text("delivered_at IS NULL"),
        )
        batch_op.drop_index("ix_outbox_subject")

    op.drop_table("outbox")
    op.drop_table("models")
    op.drop_table("meters")
    with op.batch_alter_table("ledger") as batch_op:
        batch_op.drop_index("uq_ledger_key")
        batch_op.drop_index("ix_ledger_session")
        batch_op.drop_index("ix_ledger_account")

    op.drop_table("ledger")
    op.drop_table("leases")
    with op.batch_alter_table("inbox") as batch_op:
        batch_op.drop_index("ix_inbox_received")

    op.drop_table("inbox")
    with op.batch_alter_table("credentials") as batch_op:
        batch_op.drop_index("ix_credentials_provider")

    op.drop_table("credentials")
    op.drop_table("brakes")
    with op.batch_alter_table("accounts") as batch_op:
        batch_op.drop_index(
            "ix_accounts_due",
            postgresql_where=sa.text("next_step IS NOT NULL"),
            sqlite_where=sa.text("next_step IS NOT NULL"),
        )

    op.drop_table("accounts")
