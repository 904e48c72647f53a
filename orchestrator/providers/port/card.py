"""What a platform can do, as its driver declares it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a platform can do. Flows decide by the card, never by the driver's name."""

    has_lifecycle: bool
    """False: always-on endpoints; the close is local and proves itself."""
    can_list: bool = False
    closes_by_id: bool = False
    exclusive_credentials: bool = False
    """A credential carries at most one unclosed placement."""
    wallet: str | None = None
    """The address of the one wallet for which all its credentials act: it sends one transaction at a time, so the
    provider takes one credential."""
    needs_credential: bool = False
    """Nothing there can be asked without a key: a provider without credentials does not start."""
    ignores_credentials: bool = False
    """None of its calls sends a key: a provider with credentials does not start."""
    serialised: bool = False
    """Lifecycle calls of one credential run one at a time, under a lease on it."""
    repeats_open: bool = False
    """The identical open, sent again, adopts what the first one opened."""
    frees_key: bool = False
    """What a key carries would be taken for a new session: an open frees its key first, and sends nothing before it
    has said so (`Order.freed`)."""
    max_nodes: int | None = None
    shortest_duration_seconds: int = 0
    """The shortest session that the platform accepts."""
    minimum_billing_seconds: int = 0
    resolve_after_seconds: float | None = None
    """Longer than the policy's where an open's effect shows later here."""
    native_ping_is_lifecycle: bool = False
    """The configured ping can close the session, so it runs under the credential's lease."""
    asks_who_died: bool = False
    """A close gets to know whether its session was judged dead."""
    witness: str | None = None
    """Another provider with a `status` that knows the sessions here by handle: asked what this one does not say."""
    names_create: bool = False
    """A create carries our name, by which it can be found again."""
    tells_status: bool = False
    """`status` asks the platform, and what it says confirms a death."""
    asks_by_name: bool = False
    """`status` needs no handle: our own name or id of a session is enough, even of one that was never opened."""
    sleeps: bool = False
    """What serves may be scaled to zero: `status` says so, and a ping would wake it and start the bill."""
    attaches: bool = False
    """Another party opens and ends it: an order brings the endpoint, and no call of ours closes it."""
