"""Require a valid token for everything but the health checks. Limit failures by address."""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.problems import ApiCode, Problem, answer, unauthenticated, unavailable
from orchestrator.flows.operations.tokens import authenticate
from orchestrator.rules.values import ApiToken
from orchestrator.store.database import StoreError

#: What is answered to anyone.
OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
#: This many failures of one address within this many seconds are answered 401, further ones 429 until some are older.
MOST_FAILURES, WITHIN = 20, 60.0
#: Addresses that are remembered.
MOST_ADDRESSES = 10_000
#: Seconds for which a token that was valid is not read again: a revoked or expired one is refused after these at last.
REMEMBERED = 1.0
#: Tokens that are remembered.
MOST_TOKENS = 1_000


class Failures:
    """Counts failures by address. A valid token is answered whatever else comes from its address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> float | None:
        """Note a failure. Return the seconds until the next one is answered, where there were too many; else None."""
        now = self._clock()
        seen = self._of.setdefault(address, deque())
        self._of.move_to_end(address)
        if len(self._of) > MOST_ADDRESSES:
            self._of.popitem(last=False)
        while seen and now - seen[0] >= WITHIN:
            seen.popleft()
        if len(seen) >= MOST_FAILURES:
            return WITHIN - (now - seen[0])
        seen.append(now)
        return None


class RecentTokens:
    """Tokens that were found valid a moment ago. They are kept under a digest of their texts: a process holds no secret
    for longer than a request, and the time of a look-up says nothing about one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: OrderedDict[bytes, tuple[float, ApiToken]] = OrderedDict()

    def now(self) -> float:
        """Return the time, to be taken before a token is read."""
        return self._clock()

    def find(self, text: str) -> ApiToken | None:
        """Return the token with this text, unless it was read too long ago."""
        read_at, token = self._of.get(_key(text), (0.0, None))
        return token if token is not None and self._clock() - read_at < REMEMBERED else None

    def keep(self, text: str, token: ApiToken, read_at: float) -> None:
        """Remember a valid token that was read at this time or later."""
        key = _key(text)
        self._of[key] = read_at, token
        self._of.move_to_end(key)
        if len(self._of) > MOST_TOKENS:
            self._of.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Authentication:
    """Answers requests without a valid token, and hands on the others with theirs."""

    def __init__(
        self, app: ASGIApp, failures: Failures | None = None, recent: RecentTokens | None = None
    ) -> None:
        self._app = app
        self._failures = failures or Failures()
        self._recent = recent or RecentTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            return await self._app(scope, receive, send)
        try:
            await self._identify(Request(scope))
        except Problem as problem:
            return await answer(problem)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _identify(self, request: Request) -> None:
        text = _bearer(request)
        token = None if text is None else self._recent.find(text) or await self._read(request, text)
        if token is None:
            raise self._refusal(request, text)
        request.state.token = token

    async def _read(self, request: Request, text: str) -> ApiToken | None:
        process, now = request.app.state.process, self._recent.now()
        token: ApiToken | None
        try:
            token = await process.look(lambda: authenticate(process.services.database, text))
        except StoreError:
            raise unavailable("the database does not answer: repeat the request later") from None
        if token is not None:
            self._recent.keep(text, token, now)
        return token

    def _refusal(self, request: Request, text: str | None) -> Problem:
        wait = self._failures.note(request.client.host if request.client else "")
        if wait is not None:
            message = "too many requests without a valid token came from this address"
            headers = {"Retry-After": str(int(wait) + 1)}
            return Problem(ApiCode.TOO_MANY_FAILURES, message, headers=headers)
        what = "the token is unknown, revoked or expired" if text else "no token was sent"
        return unauthenticated(
            f"{what}: send `Authorization: Bearer TOKEN`; `orchestrator token create` makes one"
        )


def _bearer(request: Request) -> str | None:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() or None if kind.lower() == "bearer" else None
