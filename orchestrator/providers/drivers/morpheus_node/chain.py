"""The sessions of one wallet, as a Morpheus consumer node shows and changes them on the chain."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Auth, Closed, Order, Secret
from orchestrator.providers.port.errors import (
    NotClosed,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderFull,
    Throttled,
)
from orchestrator.providers.port.faults import describe, read_fault
from orchestrator.providers.port.secrets import brief
from orchestrator.providers.shared.lifecycle import ask_changing, ask_reading, may_have_happened, refusal
from orchestrator.providers.shared.numbers import read_decimal

#: The contract refuses shorter sessions.
SHORTEST_SECONDS = 300

#: One MOR has this many of the chain's units.
WEI = Decimal(10) ** 18

#: Errors that mean that another transaction of the wallet took this one's number.
_CONTENTION = re.compile(r"\bnonce\b|transaction underpriced", re.IGNORECASE)
_NO_FUNDS = re.compile(r"transfer amount exceeds balance|insufficient funds", re.IGNORECASE)
_FULL = re.compile(r"no bids available|no provider accepting session", re.IGNORECASE)
_ALREADY_CLOSED = re.compile(r"SessionAlreadyClosed|session already closed", re.IGNORECASE)
_NOT_FOUND = re.compile(r"session not found", re.IGNORECASE)
#: A transaction's hash: hexadecimal, at most 256 bits. Any other text proves nothing.
_TRANSACTION = re.compile(r"0x[0-9a-f]{1,64}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainSession:
    """One session as the chain has it."""

    id: str
    model: str
    bid: str
    user: str
    """The wallet that opened it; empty where the node does not say."""
    opened_at: datetime
    ends_at: datetime
    closed_at: datetime | None

    def ended(self, now: datetime) -> str | None:
        """Return how it ended, for people; None while it is live."""
        if self.closed_at is not None:
            return f"closed at {self.closed_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.ends_at <= now:
            return f"ended by itself at {self.ends_at:%Y-%m-%d %H:%M:%S} UTC"
        return None


class Chain:
    """Sends the node's lifecycle calls; each call that changes something uses a connection of its own."""

    def __init__(self, http: HttpClient, base_url: str, read_timeout_seconds: float) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._read_timeout = read_timeout_seconds

    async def open(self, order: Order, body: Mapping[str, Any], timeout_seconds: float, rest: float) -> str:
        """Open a session and return its id. Raises what `Driver.open` may raise; `rest` is how long a contender
        waits."""
        bid = order.options.get("bid_id")
        path = f"bids/{_part(bid)}/session" if bid else f"models/{_part(order.model)}/session"
        return _opened(await self._post(path, order.secret, body, timeout_seconds), rest)

    async def close(self, session_id: str, secret: Secret | None, timeout_seconds: float) -> Closed:
        """Close a session. Raises NotClosed if the node did not say that it is closed."""
        return _closed(
            await self._post(f"sessions/{_part(session_id)}/close", secret, {}, timeout_seconds), session_id
        )

    async def get(self, session_id: str, secret: Secret | None) -> tuple[ChainSession | None, datetime]:
        """Return the session (None: the node knows of none) and the node's time. Raises as a reading call does."""
        answer = await self._get(f"sessions/{_part(session_id)}", secret)
        if answer.status == 500 and _NOT_FOUND.search(read_fault(answer).text):
            return None, now_of(answer)
        session = _read(_lower(answer.json).get("session")) if answer.status == 200 else None
        if session is None:
            raise refusal(answer) if answer.status != 200 else NotSent(f"unreadable: {describe(answer)}")
        return session, now_of(answer)

    async def page(
        self, user: str, secret: Secret | None, offset: int, limit: int
    ) -> tuple[list[ChainSession], int, datetime]:
        """Return one page of the wallet's sessions, oldest first: the readable entries, how many entries there were,
        the time."""
        query = {"user": user, "offset": str(offset), "limit": str(limit), "order": "asc"}
        answer = await self._get("sessions/user", secret, query)
        if answer.status != 200:
            raise refusal(answer)
        entries = _lower(answer.json).get("sessions")
        if not isinstance(entries, list):
            raise OutcomeUnknown(f"no list of sessions: {describe(answer)}")
        sessions = [_read(entry) for entry in entries]
        if None in sessions:  # a skipped entry could be the one that is searched for
            raise OutcomeUnknown("an entry of the list of sessions cannot be read")
        return [session for session in sessions if session], len(entries), now_of(answer)

    async def balance(self, secret: Secret | None) -> Decimal:
        """Return the part of the wallet's MOR that is not staked."""
        answer = await self._get("balance", secret)
        if answer.status != 200:
            raise refusal(answer)
        amount = read_decimal(_lower(answer.json).get("mor"), WEI)
        if amount is None:
            raise NotSent(f"no balance: {describe(answer)}")
        return amount

    async def _get(self, path: str, secret: Secret | None, params: dict[str, str] | None = None) -> Response:
        call = Call(
            method="GET",
            url=f"{self._base_url}/blockchain/{path}",
            timeout_seconds=self._read_timeout,
            auth=Auth.BASIC,
            secret=secret,
            params=params,
        )
        return await ask_reading(self._http, call)

    async def _post(
        self, path: str, secret: Secret | None, body: Mapping[str, Any], timeout_seconds: float
    ) -> Response:
        call = Call(
            method="POST",
            url=f"{self._base_url}/blockchain/{path}",
            timeout_seconds=timeout_seconds,
            auth=Auth.BASIC,
            secret=secret,
            json=dict(body),
            fresh=True,
        )
        return await ask_changing(self._http, call)


def asked_seconds(order: Order) -> int:
    return max(SHORTEST_SECONDS, order.duration_seconds)


def now_of(answer: Response) -> datetime:
    """Return the node's own time, by which it judges ends; ours if it sends none."""
    try:
        time = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError, TypeError):
        return answer.received_at
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _opened(answer: Response, rest: float) -> str:
    session_id = _lower(answer.json).get("sessionid")
    if 200 <= answer.status < 300 and isinstance(session_id, str) and session_id:
        return session_id
    if answer.status == 500:
        _raise_definite(answer, rest)
    if may_have_happened(answer):
        raise OutcomeUnknown(describe(answer))  # the transaction may be mined, and its id lost
    raise refusal(answer)


def _raise_definite(answer: Response, rest: float) -> None:
    """Raise for the texts that explain why nothing was opened. The last text may contain the others as its reasons."""
    text, said = read_fault(answer).text, describe(answer)
    if _CONTENTION.search(text):
        raise Throttled(said, rest * random.uniform(0.5, 1.5))
    if _NO_FUNDS.search(text):
        raise OutOfBalance(said)
    if _FULL.search(text):
        raise ProviderFull(said)


def _closed(answer: Response, session_id: str) -> Closed:
    transaction = _lower(answer.json).get("tx")
    if answer.status == 200 and isinstance(transaction, str) and _TRANSACTION.fullmatch(transaction):
        return Closed(
            proof=f"closed by transaction {brief(transaction, answer.hidden)}", closed_handle=session_id
        )
    text = read_fault(answer).text if answer.status == 500 else ""
    if _ALREADY_CLOSED.search(text):
        return Closed(proof="the node says SessionAlreadyClosed", closed_handle=session_id)
    if _NOT_FOUND.search(text):
        return Closed(proof="the node says session not found", nothing_was_open=True)
    raise NotClosed(describe(answer))


def _read(entry: Any) -> ChainSession | None:
    """Read an entry: keys in any case; times in unix seconds, as numbers or as text. Return None if a field is
    missing."""
    fields = _lower(entry)
    opened_at, ends_at = _time(fields.get("openedat")), _time(fields.get("endsat"))
    if not fields.get("id") or opened_at is None or ends_at is None:
        return None
    return ChainSession(
        id=str(fields["id"]),
        model=str(fields.get("modelagentid", "")),
        bid=str(fields.get("bidid", "")),
        user=str(fields.get("user") or ""),
        opened_at=opened_at,
        ends_at=ends_at,
        closed_at=_time(fields.get("closedat")),
    )


def _time(value: Any) -> datetime | None:
    try:
        seconds = int(value)
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _lower(value: Any) -> Mapping[str, Any]:
    """Return an object's entries with their keys in lower case: documentation and code differ."""
    return {str(key).lower(): below for key, below in value.items()} if isinstance(value, Mapping) else {}


def _part(value: Any) -> str:
    return quote(str(value), safe="")
