"""The shapes of the HTTP API's answers about providers and the installation."""

from typing import Any

from orchestrator.client.resources import MoneyText, Resource, Time, money
from orchestrator.rules.states import State


class ProviderResource(Resource):
    """A provider: its credentials by reference, brakes, alarms, and what pings have cost."""

    name: str
    driver: str | None
    base_url: str | None
    max_in_flight: int | None
    credentials: list[dict[str, Any]]
    brakes: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    pings: dict[str, Any]
    balance: dict[str, Any] | None


class PingCountsResource(Resource):
    """Pings of a time."""

    count: int
    by_verdict: dict[str, int]
    mean_ms: int | None
    most_ms: int | None
    tokens: int
    cost_usd: str = money()


class TimesResource(Resource):
    """How often something happened, and how long it took. Starts: from the request to the first good ping; closes: from
    the stop to the provider's proof."""

    count: int
    mean_ms: int | None
    most_ms: int | None


class OpensResource(Resource):
    """Opens at providers."""

    succeeded: int
    failed: int


class SampleResource(Resource):
    """What held at the end of a minute. `burning_per_hour` and `overdue_seconds` are of the whole installation."""

    at: str
    sessions: dict[str, int]
    """State to sessions that have not ended."""
    unproven: int
    money_at_risk: dict[str, MoneyText]
    burning_per_hour: dict[str, MoneyText]
    overdue_seconds: float


class MinuteResource(Resource):
    """One minute."""

    at: str
    """When it began."""
    pings: PingCountsResource
    starts: TimesResource
    opens: OpensResource
    closes: TimesResource
    sample: SampleResource | None
    """null: the minute is not over, or no worker was there at its end. Then `opens` and `closes` are not counted."""


class HistoryResource(Resource):
    """The last hour, and its sums. Minutes without anything known are left out."""

    minutes: list[MinuteResource]
    pings: PingCountsResource
    starts: TimesResource
    opens: OpensResource
    closes: TimesResource


class ProviderDetailResource(ProviderResource):
    """A provider with its card, what its platform can do, and the last hour."""

    card: dict[str, Any] | None
    """null: the configuration no longer names it."""
    last_hour: HistoryResource


class SessionCountResource(Resource):
    """How many sessions that are not deleted are in a state, by their latest provider."""

    state: State
    provider: str | None
    count: int


class OverviewResource(Resource):
    """The installation: what lives, what it costs, what is late, who works, and the last hour."""

    at: str
    sessions: list[SessionCountResource]
    burning_per_hour: dict[str, MoneyText]
    overdue_seconds: dict[str, float]
    """Step to the lateness of the row that waits longest."""
    unproven_closes: int
    money_at_risk: dict[str, MoneyText]
    forced_closes: int
    brakes: list[str]
    """Providers with a brake."""
    alarms: int
    audit: dict[str, Any]
    parked_messages: int
    processes: dict[str, Any]
    last_hour: HistoryResource


class ProviderListResource(Resource):
    """Every provider."""

    items: list[ProviderResource]


class CheckResource(Resource):
    """What was tried at a provider."""

    what: str
    works: bool | None
    """null: it could not be tried."""
    said: str
    remedy: str | None


class CheckListResource(Resource):
    """The result of a check."""

    ok: bool
    items: list[CheckResource]


class BrakeResource(Resource):
    """How many brakes were released."""

    provider: str
    released: int


class LeftoverResource(Resource):
    """What may still cost money without proof that it is closed."""

    id: str
    orphan: bool
    provider: str | None
    money_at_risk: str = money()


class LeftoverListResource(Resource):
    """Everything of that kind, up to a bound."""

    items: list[LeftoverResource]


class WaitingResource(Resource):
    """A queued session."""

    session_id: str
    account_id: str
    name: str
    model_id: str
    nodes: int
    position: int
    waits_for: str | None
    queued_at: Time
    waited_seconds: int
    deadline_at: Time


class WaitingPageResource(Resource):
    """A page of the queue, oldest first."""

    items: list[WaitingResource]
    next: str | None


class AuditResource(Resource):
    """What the audit found."""

    ok: bool
    checked_at: Time
    checks: list[dict[str, Any]]
    violations: list[dict[str, Any]]


class AlarmsResource(Resource):
    """Every open alarm."""

    providers: list[dict[str, Any]]
    installation: list[dict[str, Any]]


class JobResource(Resource):
    """A job that was received, and its outcome."""

    id: str
    name: str
    received_at: str
    author: str | None
    """The name of the token that sent it; null: it came over the broker."""
    outcome: dict[str, Any] | None
    """null: it is under way."""


class ReconcileResource(Resource):
    """How the providers' lists differ from what is known."""

    dry_run: bool
    lists: list[dict[str, Any]]
    possible_orphans: list[dict[str, Any]]


class WebhookResource(Resource):
    """A webhook, and what did not arrive there."""

    name: str
    url: str
    secrets: list[str]
    """References; the secrets themselves are never shown."""
    events: list[str]
    accounts: list[str]
    active: bool
    from_file: bool
    """It is in `orchestrator.toml`, and is changed there."""
    waiting: int
    """Events that wait for another try, or behind such an event."""
    oldest_waiting_at: Time
    dead: int
    """Events that were given up."""
    failures: int
    """Failed passes in a row."""
    next_at: Time
    last_answer: str | None
    """Why the last event did not arrive; null: it arrived."""
    last_sent_at: Time
    created_at: Time


class WebhookPutResource(WebhookResource):
    """A webhook that was put."""

    notes: list[str]
    """Which of its secrets cannot sign, as far as the API's process has them: workers may have others. Types that no
    event has, and accounts that do not exist: nothing arrives for them."""


class WebhookListResource(Resource):
    """All webhooks, by name."""

    items: list[WebhookResource]


class WebhookDeletedResource(Resource):
    """A webhook that is deleted, with what waited for it."""

    name: str
    deleted: bool


class WebhookTriedResource(Resource):
    """What the receiver answered to a signed event of the type `orchestrator.webhook.test`."""

    webhook: str
    url: str
    arrived: bool
    answer: str | None
    """Why it did not arrive."""


class DeliveryResource(Resource):
    """An event that did not arrive at a webhook."""

    webhook: str
    event_id: str
    type: str
    subject: str
    time: Time
    tries: int
    last_answer: str | None
    dead_at: Time
    """null: it is sent again."""


class DeliveryListResource(Resource):
    """Events that were given up, or that are sent again."""

    items: list[DeliveryResource]
