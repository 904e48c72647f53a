"""A plan lists the sessions that a dry run has shown, so that its execution closes none that came later."""

import base64
import binascii
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

#: How long a plan may be executed.
LASTS = timedelta(minutes=15)
#: Bytes of the digest of one id.
_BYTES = 8


class PlanChanged(Exception):
    """The plan does not hold any more. Nothing was closed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"nothing was closed: {why}. Make a new dry run, and send its plan")


@dataclass(frozen=True, slots=True)
class ClosePlan:
    """The sessions that a dry run has shown."""

    digest: str
    """Of the request that it is of."""
    at: datetime
    """Of the dry run. Ages of sessions are those of that instant."""
    ids: frozenset[bytes]

    @classmethod
    def of(cls, digest: str, session_ids: Collection[str], now: datetime) -> "ClosePlan":
        """Return the plan of these sessions."""
        return cls(digest, now, frozenset(_short(one) for one in session_ids))

    def __str__(self) -> str:
        head = f"{self.digest}\n{self.at.isoformat()}\n".encode()
        return base64.urlsafe_b64encode(head + b"".join(sorted(self.ids))).decode()

    def check(self, digest: str, session_ids: Collection[str], now: datetime) -> None:
        """Raise PlanChanged unless the plan is this request's, and holds every session that it would hit now."""
        if self.digest != digest:
            raise PlanChanged("the plan belongs to another request")
        if not timedelta(0) <= now - self.at <= LASTS:
            raise PlanChanged(f"the plan is older than {LASTS.total_seconds():.0f} s")
        more = sum(_short(one) not in self.ids for one in session_ids)
        if more:
            raise PlanChanged(f"the filter matches sessions that are not in the plan: {more}")


def plan_in(text: str) -> ClosePlan:
    """Return the plan that a dry run answered with. Raises PlanChanged if it is none."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        digest, at, ids = raw.split(b"\n", 2)
        read = ClosePlan(
            digest.decode("ascii"),
            datetime.fromisoformat(at.decode("ascii")),
            frozenset(ids[n : n + _BYTES] for n in range(0, len(ids), _BYTES)),
        )
    except (binascii.Error, ValueError):
        raise PlanChanged("it is not the plan of a dry run") from None
    if read.at.tzinfo is None:
        raise PlanChanged("it is not the plan of a dry run")
    return read


def _short(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()[:_BYTES]
