"""The shapes of the HTTP API's answers, for its clients and its OpenAPI document. A test compares the answers with
them."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.rules.states import PlacementState, State, Step, StopReason

Time = str | None
"""RFC 3339 in UTC."""


def money() -> Any:
    """Return the field of an amount, a decimal text."""
    return Field(pattern=MONEY, examples=["12.50"])


#: Two places, or as many more as the amount needs.
MONEY = r"^-?[0-9]+\.([0-9]{2}|[0-9]{2,5}[1-9])$"
MoneyText: TypeAlias = Annotated[str, Field(pattern=MONEY, examples=["12.50"])]


class Resource(BaseModel):
    """Fields are only added, so that a client must accept others."""

    model_config = ConfigDict(extra="allow")


class FaultResource(Resource):
    """One fault of a request."""

    loc: str = Field(examples=["stop.max_cost"])
    msg: str
    type: str


class ProblemResource(Resource):
    """RFC 9457."""

    type: str = Field(examples=["urn:orchestrator:problem:invalid_state"])
    title: str
    status: int
    detail: str
    code: str
    """The contract's code, for machines."""
    faults: list[FaultResource]
    details: dict[str, Any]


class PlacementResource(Resource):
    """The newest attempt to have a session served."""

    n: int
    provider: str
    credential: str | None
    handle: str | None
    opened_at: Time
    state: PlacementState


class EndpointResource(Resource):
    """Where a running session is reached."""

    url: str | None
    model: str | None
    auth: str | None
    secret_ref: str | None


class RevealedEndpointResource(EndpointResource):
    """The same; `secret` only if it was asked for."""

    secret: str | None = None


class PingResource(Resource):
    """The last ping of a session."""

    at: Time
    verdict: str
    latency_ms: int | None
    detail: str | None


class SessionResource(Resource):
    """A session."""

    id: str
    account_id: str
    name: str
    description: str | None
    model_id: str | None
    nodes: int | None
    state: State
    stop_reason: StopReason | None
    stop_detail: str | None
    created_at: str
    running_at: Time
    stop_at: Time
    stop_at_reason: StopReason | None
    ended_at: Time
    interactions: int | None
    cost: str = money()
    currency: str
    price_per_node_hour: MoneyText | None
    provider: str | None
    placement: PlacementResource | None
    endpoint: EndpointResource | None
    failover: bool | None
    queue_position: int | None
    queue_reason: str | None
    next_step: Step | None
    next_step_at: Time
    last_ping: PingResource | None
    busy_since: Time
    unproven_since: Time
    money_at_risk: MoneyText | None
    forced_closes: list[dict[str, Any]]
    metadata: dict[str, Any]
    deleted_at: Time
    archived_at: Time


class SessionPageResource(Resource):
    """A page of sessions, newest first. It may hold fewer than `limit` though others follow: `next` says so."""

    items: list[SessionResource]
    next: str | None


class CloseResource(Resource):
    """A session that is being closed, as it is now; or what is left of one at its provider."""

    id: str
    state: str


class ExplanationResource(Resource):
    """Why a session is in its state, and what happens next."""

    session_id: str
    state: State
    because: list[str]
    next_step: Step | None
    next_step_at: Time
    claimed_until: Time
    """A worker has claimed it until then and works on it now; the next step follows if no outcome comes. Null: none
    has."""
    stops: list[dict[str, Any]]
    used: dict[str, Any]
    changes: list[dict[str, Any]]
    """Who changed it, when, by which job and how."""
    doubts: list[str]


class EventResource(Resource):
    """A CloudEvent 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]


class EventPageResource(Resource):
    """Events in their order. `next` is the position behind them, also if there are none yet."""

    items: list[EventResource]
    next: str | None


class RejectedResource(Resource):
    """An item of a batch that was not counted."""

    index: int
    session_id: str
    code: str
    message: str


class InteractionsResource(Resource):
    """How many items were counted, and which were not."""

    accepted: int
    rejected: list[RejectedResource]


class AccountResource(Resource):
    """An account."""

    id: str
    plan: str
    currency: str
    balance: str = money()
    own_quota: dict[str, int | str]
    overdraft_limit: MoneyText | None
    funds_end_at: Time
    funds_end_by: str | None
    """What ends there: `balance`, or the `day` or `month` of a budget with a hard stop."""
    created_at: str


class AccountDetailResource(AccountResource):
    """An account with its quota, how much of it is used, and by which sessions."""

    overdraft_allowed: str = money()
    not_yet_charged: str = money()
    quota: dict[str, dict[str, Any]]
    sessions: list[dict[str, Any]]


class AccountPageResource(Resource):
    """A page of accounts, by id."""

    items: list[AccountResource]
    next: str | None


class CreditResource(AccountResource):
    """The account after a credit or a debit."""


class LedgerLineResource(Resource):
    """One entry of the ledger: `amount` moves from `debit` to `credit`."""

    id: int
    key: str
    at: str
    kind: str
    debit: str
    credit: str
    amount: str = money()
    currency: str
    session_id: str | None
    note: str
    balance: MoneyText | None
    """After the entry; null if entries of that time are archived."""


class LedgerPageResource(Resource):
    """A page of the ledger, newest first."""

    items: list[LedgerLineResource]
    next: str | None


class ForecastResource(Resource):
    """What an account burns, and when its funds end."""

    id: str
    currency: str
    balance: str = money()
    available: str = money()
    burn_per_hour: str = money()
    funds_end_at: Time
    funds_end_by: str | None
    seconds_left: int | None
    sessions: list[dict[str, Any]]


class ModelResource(Resource):
    """A model."""

    id: str
    providers: list[str]
    provider_model_ids: dict[str, str]
    type: str
    size: str
    learning_stage: str
    source: str
    owner: str | None
    files_uploaded: bool
    tags: list[str]
    price_per_node_hour: str = money()
    currency: str
    max_duration_seconds: int | None
    max_interactions: int | None


class ModelPageResource(Resource):
    """A page of models, by id."""

    items: list[ModelResource]
    next: str | None


class ClosePlanResource(Resource):
    """What a close of many would hit."""

    count: int
    plan: str
    """Send it back to close exactly these."""
    burn_per_hour: dict[str, MoneyText]
    """By currency."""
    cost: dict[str, MoneyText]
    accounts: list[str]
    sample: list[SessionResource]


class ManyClosedResource(Resource):
    """What a close of many did."""

    count: int
    closed: int
    refused: list[dict[str, Any]]


class HealthResource(Resource):
    """The process answers."""

    status: str
