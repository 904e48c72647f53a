"""One minute of the installation, or of one provider there: what was counted in it, and what held at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from orchestrator.rules.values.amounts import ZERO
from orchestrator.rules.values.sessions import Verdict

#: The provider's name of the rows about the installation as a whole.
INSTALLATION = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PingCounts:
    """Pings of one provider: how many by verdict, how long they took, and what they cost."""

    pings_alive: int = 0
    pings_throttled: int = 0
    pings_loading: int = 0
    pings_transient: int = 0
    pings_gone: int = 0
    pings_credentials: int = 0
    pings_out_of_balance: int = 0
    pings_misconfigured: int = 0
    ping_ms: int = 0
    """The sum over all pings."""
    ping_most_ms: int = 0
    tokens: int = 0
    cost_usd: Decimal = ZERO
    began_running: int = 0
    """Sessions that ran for the first time."""
    until_running_ms: int = 0
    """The sum over these, each from its start."""
    until_running_most_ms: int = 0

    @property
    def by_verdict(self) -> Mapping[Verdict, int]:
        """Return how many pings had each verdict."""
        return {
            Verdict.ALIVE: self.pings_alive,
            Verdict.THROTTLED: self.pings_throttled,
            Verdict.LOADING: self.pings_loading,
            Verdict.TRANSIENT: self.pings_transient,
            Verdict.GONE: self.pings_gone,
            Verdict.CREDENTIALS: self.pings_credentials,
            Verdict.OUT_OF_BALANCE: self.pings_out_of_balance,
            Verdict.MISCONFIGURED: self.pings_misconfigured,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class MinuteSample:
    """What held at the end of a minute, and what rows say happened in it."""

    sampled_at: datetime
    sessions: Mapping[str, int] = field(default_factory=dict)
    """State → sessions that have not ended, at their latest provider."""
    unproven: int = 0
    """Closes without proof, and orphans."""
    at_risk: Mapping[str, str] = field(default_factory=dict)
    """Currency → what these may cost by then."""
    burning: Mapping[str, str] = field(default_factory=dict)
    """Currency → what running sessions cost an hour. Of the installation only."""
    overdue_seconds: float = 0.0
    """By how much the step most overdue is late. Of the installation only."""
    opened: int = 0
    not_opened: int = 0
    """Opens that ended without a session there."""
    closed: int = 0
    """Closes with proof."""
    close_lag_ms: int = 0
    """The sum over these, each from the instant of its stop."""
    close_lag_most_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Minute:
    """One row: counts are there as soon as they are counted, the sample once the minute is over."""

    minute: datetime
    """When it begins."""
    provider: str
    """`INSTALLATION` for the installation as a whole."""
    counts: PingCounts = field(default_factory=PingCounts)
    sample: MinuteSample | None = None
