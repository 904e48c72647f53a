"""What is counted in a minute, and which minutes are kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules.values.minutes import PingCounts
from orchestrator.rules.values.sessions import Verdict

MINUTE = timedelta(minutes=1)
#: A minute is sampled this long after its end: what was decided in it is committed by then.
SETTLED_AFTER = timedelta(seconds=5)
#: Minutes are kept this long. A page of charts shows an hour, a comparison with the day before needs two days.
KEPT = timedelta(hours=48)
#: The clocks of two processes may differ by so much; minutes that are further ahead come from a clock that has jumped.
AHEAD = timedelta(minutes=2)


def minute_of(now: datetime) -> datetime:
    """Return when this minute began."""
    return now.replace(second=0, microsecond=0)


def over_by(now: datetime) -> datetime:
    """Return when the last minute began that is over and settled."""
    return minute_of(now - SETTLED_AFTER) - MINUTE


def ping_counts(
    answers: Sequence[tuple[Verdict, int]],
    *,
    tokens: int = 0,
    cost_usd: Decimal = Decimal(0),
    began: Sequence[timedelta] = (),
) -> PingCounts:
    """Return the counts of these pings. `answers`: verdict and milliseconds of each; `began`: how long sessions took to
    start that run since."""
    verdicts = [verdict for verdict, _ in answers]
    took = [max(0, ms) for _, ms in answers]
    starts = [max(0, one // timedelta(milliseconds=1)) for one in began]
    return PingCounts(
        **{f"pings_{verdict.value.lower()}": verdicts.count(verdict) for verdict in Verdict},
        ping_ms=sum(took),
        ping_most_ms=max(took, default=0),
        tokens=tokens,
        cost_usd=cost_usd,
        began_running=len(starts),
        until_running_ms=sum(starts),
        until_running_most_ms=max(starts, default=0),
    )
