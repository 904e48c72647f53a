"""Which of a wallet's sessions an order made: found by model or bid, by time, and by the handles of other placements.

A list of the wrong wallet would look empty, so the owner of the node's sessions is checked too."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field

from orchestrator.providers.drivers.morpheus_node.chain import Chain, ChainSession
from orchestrator.providers.port.driver import NotPlaced, Order, Secret
from orchestrator.providers.port.errors import OutcomeUnknown, ProviderError
from orchestrator.providers.port.secrets import brief
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.providers.shared.patterns import ADDRESS


class WalletOptions(DriverOptions):
    user: str = Field(pattern=ADDRESS)
    """The node's wallet: without it nothing could be listed, and no lost open be found."""
    open_within_seconds: float = Field(default=420, ge=0)
    """How long after it was sent an open can still be mined."""
    list_lag_seconds: float = Field(default=180, ge=0)
    """How long after that it may be missing from lists."""
    clock_skew_seconds: float = Field(default=60, ge=0)
    """Between our clock and that of the chain."""
    list_page_size: int = Field(default=255, ge=1, le=255)
    """The node reads the limit into one byte: 256 would be 0."""
    list_pages: int = Field(default=400, ge=1)
    low_balance_below: Decimal = Field(default=Decimal(10), ge=0)
    """MOR: an alarm is raised when the wallet has less."""


class Wallet:
    """The wallet behind one node."""

    def __init__(self, chain: Chain, options: WalletOptions) -> None:
        self._chain = chain
        self._options = options

    async def find(self, order: Order, *, close: bool) -> Sequence[ChainSession] | NotPlaced:
        """Return the one live session that is certainly this order's, or the proof that there is none.

        With `close`: return all sessions that certainly belong to this order or to another unwanted one, however they
        divide. Otherwise each order would wait for the other's session to end by itself."""
        if order.handle is not None:
            seen, now = await self._chain.get(order.handle, order.secret)
            if seen is not None:
                ended = seen.ended(now)
                return NotPlaced(proof=f"{seen.id} {ended}") if ended else [seen]
        sessions, now = await self.sessions(order.secret)
        await self._must_show_ours(order, sessions)
        possible = [one for one in sessions if self._may_be(order, one)]
        live = [one for one in possible if one.ended(now) is None]
        if not live:
            return self._nothing(order, possible, now)
        together = close and self._must_show(order, now)
        orders = 1 + (self._unwanted_too(order, possible) if together else 0)
        rivals = order.rivals_sent_at if together else order.rivals_sent_at + order.unwanted_rivals_sent_at
        if len(possible) <= orders and self._are_surely_ours(order, live, rivals):
            return live
        ids = ", ".join(one.id for one in live)
        raise OutcomeUnknown(
            f"cannot determine which session is this order's, if any: {ids}", possible_orphans=True
        )

    async def misconfigured(self, session_id: str, secret: Secret | None, seconds: float) -> str | None:
        """Return why a session that the node just opened shows that `user` is wrong, or None."""
        try:
            async with asyncio.timeout(seconds):
                session, _ = await self._chain.get(session_id, secret)
        except (ProviderError, TimeoutError):
            return None
        return self.is_anothers(session) if session else None

    def is_anothers(self, session: ChainSession) -> str | None:
        """Return why a session of this node is not the configured wallet's; None if it is, or if the node does not
        say."""
        if session.user.lower() in ("", self._options.user.lower()):
            return None
        return f"user is {self._options.user}, and the node opens sessions for {brief(session.user)}: none is listed"

    async def sessions(self, secret: Secret | None) -> tuple[Sequence[ChainSession], datetime]:
        """Return the wallet's sessions, oldest first, so that new ones do not shift pages that were read."""
        found: dict[str, ChainSession] = {}
        offset = 0
        for _ in range(self._options.list_pages):
            page, count, now = await self._chain.page(
                self._options.user, secret, offset, self._options.list_page_size
            )
            found |= {one.id: one for one in page}
            offset += count
            if count < self._options.list_page_size:
                return tuple(found.values()), now
        raise OutcomeUnknown(f"more than {offset} sessions are listed: raise list_pages to read them all")

    async def _must_show_ours(self, order: Order, sessions: Sequence[ChainSession]) -> None:
        """Raise OutcomeUnknown if the list lacks a session that lives for us: it is another wallet's, or incomplete,
        and proves nothing."""
        listed = {one.id.lower() for one in sessions}
        for handle in sorted(one for one in order.taken_handles if one.lower() not in listed):
            session, now = await self._chain.get(handle, order.secret)
            if session is None or session.ended(now):
                continue
            shows_by = session.opened_at + timedelta(seconds=self._options.list_lag_seconds)
            why = self.is_anothers(session)
            if why is not None or shows_by <= now:
                raise OutcomeUnknown(why or f"the wallet's list lacks {session.id}, which lives")

    def _may_be(self, order: Order, session: ChainSession) -> bool:
        bid = order.options.get("bid_id")
        mine = (
            session.bid.lower() == str(bid).lower() if bid else session.model.lower() == order.model.lower()
        )
        known = session.id.lower() in {handle.lower() for handle in order.known_handles}
        in_time = order.sent_at is None or self._could_open(order.sent_at, session)
        return mine and in_time and not known

    def _unwanted_too(self, order: Order, possible: Sequence[ChainSession]) -> int:
        """Return how many unwanted opens may have made any of these."""
        sent = order.unwanted_rivals_sent_at
        return sum(all(self._could_open(at, session) for session in possible) for at in sent)

    def _are_surely_ours(
        self, order: Order, live: Sequence[ChainSession], rivals_sent_at: Sequence[datetime]
    ) -> bool:
        """Return whether no unresolved rival can have opened any of these; False if the time of the open is not
        known."""
        rival = any(self._could_open(sent_at, session) for sent_at in rivals_sent_at for session in live)
        return order.sent_at is not None and not rival

    def _could_open(self, sent_at: datetime, session: ChainSession) -> bool:
        skew = timedelta(seconds=self._options.clock_skew_seconds)
        latest = sent_at + timedelta(seconds=self._options.open_within_seconds) + skew
        return sent_at - skew <= session.opened_at <= latest

    def _must_show(self, order: Order, now: datetime) -> bool:
        """Return whether what the order opened must be listed by now. Before that it may still appear, and what is
        listed may be a rival's."""
        wait = timedelta(seconds=self._options.open_within_seconds + self._options.list_lag_seconds)
        return order.sent_at is not None and now >= order.sent_at + wait

    def _nothing(self, order: Order, ended: Sequence[ChainSession], now: datetime) -> NotPlaced:
        if order.sent_at is not None and not self._must_show(order, now):
            raise OutcomeUnknown("it is not listed yet, and may still be mined")
        if ended:
            return NotPlaced(proof=f"every session that could be this order's has ended ({len(ended)})")
        return NotPlaced(proof="the wallet's list has no session that could be this order's")
