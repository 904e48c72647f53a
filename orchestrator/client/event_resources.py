"""The data of each event by its type, for consumers and for the published schema. A test compares events with it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from orchestrator.client.resources import MoneyText, PingResource, Resource, Time, money
from orchestrator.rules.states import State, StopReason


class ChangeData(Resource):
    """Who caused the event, by which job, with which arguments."""

    job: str
    author: str
    arguments: dict[str, Any]


class SessionData(Resource):
    """A session as it was after the change."""

    session_id: str
    account_id: str
    name: str
    model_id: str
    state: State
    previous_state: State | None
    """Before the change; null for a session that is new."""
    provider: str | None
    interactions: int
    stop_at: Time
    """By its own rules; the end of the account's funds may be earlier."""
    stop_at_reason: StopReason | None
    extendable_until: Time = None
    """The latest instant to which `orchestrator.session.extend` can move `stop_at`; null if it cannot."""
    stop_reason: StopReason | None
    stop_detail: str | None
    charged: str = money()
    """What the ledger has charged by now."""
    currency: str
    queue_reason: str | None = None
    """What a queued session waits for: the code with which its start would be refused."""
    last_ping: PingResource | None = None
    busy_since: Time = None
    seconds_left: int | None = None
    """The threshold of the warning, in `expiring` and after it."""
    paid_until: Time = None
    """Where running time ends with this change: until when it is charged."""
    held_since: Time = None
    """Where that time was under a brake: since when."""
    last_alive_at: Time = None
    change: ChangeData | None = None


class DeletedSessionData(Resource):
    """A session that was deleted. One that was archived has only part of the fields."""

    session_id: str
    account_id: str
    name: str
    model_id: str | None = None
    state: State
    previous_state: State | None
    provider: str | None
    interactions: int | None = None
    stop_at: Time = None
    stop_at_reason: StopReason | None = None
    extendable_until: Time = None
    stop_reason: StopReason | None
    stop_detail: str | None = None
    charged: str = money()
    currency: str
    last_ping: PingResource | None = None
    busy_since: Time = None
    seconds_left: int | None = None
    change: ChangeData | None = None


class ChangedSessionData(Resource):
    """A change that no other event reports, such as an extension."""

    session_id: str
    account_id: str
    change: ChangeData | None = None


class PlacementData(Resource):
    """A placement of a session, or an orphan: `session_id` is null."""

    placement_id: str
    session_id: str | None
    provider: str
    credential: str | None
    handle: str | None
    last_answer: str | None
    """What the provider said last."""
    since: Time
    proof: str | None
    forced_by: str | None
    forced_why: str | None
    change: ChangeData | None = None


class LowBalanceData(Resource):
    """The funds of an account end soon."""

    account_id: str
    seconds_left: int
    threshold_seconds: int
    funds_end_at: Time
    balance: str = money()
    currency: str


class ExhaustedData(Resource):
    """The balance cannot pay the next block of this session, which stops."""

    account_id: str
    session_id: str
    balance: str = money()


class BudgetReachedData(Resource):
    """An account has spent this share of the budget of a period."""

    account_id: str
    period: str
    since: str | None
    """The first day of the period."""
    percent: int
    budget: str = money()
    currency: str


class CreditedData(Resource):
    """Money that was given; `balance` is after it."""

    account_id: str
    amount: str = money()
    key: str
    balance: str = money()
    currency: str


class DebitedData(CreditedData):
    """Money that was taken back; `balance` is after it."""

    reason: str
    author: str


class OwnershipLostData(Resource):
    """A session of another program under an exclusive key."""

    provider: str
    credential: str | None
    session_id: str | None
    placement_id: str
    handle: str | None
    foreign_handle: str


class PausedCredentialData(Resource):
    """A key that the provider refuses."""

    provider: str
    credential: str
    reason: str
    since: Time


class ProviderAlarmData(Resource):
    """A fault at a provider, under a key or for a model."""

    kind: str
    provider: str
    credential: str | None
    model: str | None
    reason: str | None
    since: Time


class ProviderRecoveredData(Resource):
    """The end of a fault. `kind` is the last part of the type of the event that reported it."""

    kind: str
    provider: str
    credential: str | None = None
    model: str | None = None
    reason: str | None = None
    since: Time = None
    ended_by: str | None = None
    balance: MoneyText | None = None
    low_below: MoneyText | None = None
    currency: str | None = None


class BrakeData(Resource):
    """A brake on deaths that rest on pings alone; with `credential`, under that key only."""

    provider: str
    credential: str | None
    reason: str
    since: Time
    until: Time
    at: Time


class ProviderBalanceData(Resource):
    """The platform's own account at a provider is low."""

    provider: str
    balance: str = money()
    currency: str
    low_below: str = money()


class ReconcileRefusedData(Resource):
    """A list that would have touched too many sessions at once: nothing was done."""

    provider: str
    credential: str | None
    reason: str
    at: Time


class InstallationAlarmData(Resource):
    """A fault of the installation itself."""

    kind: str
    about: str
    reason: str
    since: Time


class InstallationRecoveredData(InstallationAlarmData):
    """The end of such a fault."""

    times_seen: int
    ended_by: str


class AuditData(Resource):
    """A check of the audit that has violations now, or none any more."""

    check: str
    meaning: str
    violations: int
    examples: list[dict[str, str]]


class WebhookTestData(Resource):
    """A test of a webhook. It goes to that webhook only."""

    webhook: str


#: The data of each event, by its type.
EVENTS: Mapping[str, type[Resource]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "orchestrator.session.created",
                "orchestrator.session.queued",
                "orchestrator.session.starting",
                "orchestrator.session.running",
                "orchestrator.session.suspect",
                "orchestrator.session.recovered",
                "orchestrator.session.busy",
                "orchestrator.session.expiring",
                "orchestrator.session.failed_over",
                "orchestrator.session.stopping",
                "orchestrator.session.stopped",
                "orchestrator.session.failed",
            ),
            SessionData,
        ),
        "orchestrator.session.deleted": DeletedSessionData,
        "orchestrator.session.changed": ChangedSessionData,
        "orchestrator.session.unproven": PlacementData,
        "orchestrator.session.close_forced": PlacementData,
        "orchestrator.account.credited": CreditedData,
        "orchestrator.account.debited": DebitedData,
        "orchestrator.account.budget_reached": BudgetReachedData,
        "orchestrator.account.low_balance": LowBalanceData,
        "orchestrator.account.exhausted": ExhaustedData,
        "orchestrator.provider.braked": BrakeData,
        "orchestrator.provider.released": BrakeData,
        "orchestrator.provider.credential_paused": PausedCredentialData,
        "orchestrator.provider.credential_paused_for_model": ProviderAlarmData,
        "orchestrator.provider.out_of_balance": ProviderAlarmData,
        "orchestrator.provider.misconfigured": ProviderAlarmData,
        "orchestrator.provider.low_balance": ProviderBalanceData,
        "orchestrator.provider.recovered": ProviderRecoveredData,
        "orchestrator.provider.orphan_found": PlacementData,
        "orchestrator.provider.orphan_unproven": PlacementData,
        "orchestrator.provider.orphan_closed": PlacementData,
        "orchestrator.provider.ownership_lost": OwnershipLostData,
        "orchestrator.provider.reconcile_refused": ReconcileRefusedData,
        **dict.fromkeys(
            (
                "orchestrator.installation.clock_jumped",
                "orchestrator.installation.clock_offset",
                "orchestrator.installation.messages_parked",
                "orchestrator.installation.local_fault",
                "orchestrator.installation.network_down",
            ),
            InstallationAlarmData,
        ),
        "orchestrator.installation.recovered": InstallationRecoveredData,
        "orchestrator.audit.violated": AuditData,
        "orchestrator.audit.healed": AuditData,
        "orchestrator.webhook.test": WebhookTestData,
    }
)
