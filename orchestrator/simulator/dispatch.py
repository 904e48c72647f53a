"""Carry a request to its answer: log it, read it, let a fault or the platform answer, deliver."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web

from orchestrator.simulator.delivery import Settle, deliver
from orchestrator.simulator.faults import FAULTS
from orchestrator.simulator.faults.turn import Turn
from orchestrator.simulator.platform import Platform, Route
from orchestrator.simulator.platforms import PLATFORMS
from orchestrator.simulator.values import Upstream
from orchestrator.simulator.wire import Ask, Reply
from orchestrator.simulator.world import Simulator

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A request before its body is read, however it came."""

    upstream: str
    method: str
    #: what follows the upstream's name in the URL
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    read: Callable[[], Awaitable["Body"]]


@dataclass(frozen=True, kw_only=True)
class Body:
    """The body of a request."""

    #: None if it was empty or no JSON
    json: Any = None
    form: Mapping[str, bytes] = field(default_factory=dict)


class Dispatcher:
    """Answers for every upstream of one world."""

    def __init__(self, world: Simulator) -> None:
        self._world = world
        self._working: set[asyncio.Task[Reply]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        incoming = Incoming(
            upstream=request.match_info["upstream"],
            method=request.method,
            path=f"/{request.match_info['path']}",
            headers=request.headers,
            query=request.query,
            read=partial(_read, request),
        )
        response = await self.play(incoming, partial(deliver, request))
        return response or web.json_response({"error": "no such upstream"}, status=404)

    async def play(self, incoming: Incoming, hand_over: Callable[[Reply, Settle], Awaitable[T]]) -> T | None:
        """Answer through `hand_over`, and return its result; None if there is no such upstream."""
        upstream = self._world.upstreams.get(incoming.upstream)
        if upstream is None:
            return None
        platform = PLATFORMS[upstream.kind]
        route, named = platform.find(incoming.method, incoming.path)
        ask = self._begin(incoming, upstream, route)
        try:
            body = await incoming.read()
            ask = self._address(platform, replace(ask, named=named, json=body.json, form=body.form))
            reply = await self._answer(Turn(world=self._world, platform=platform, ask=ask, route=route))
            return await hand_over(reply, partial(self._world.calls.settle, ask.seq))
        finally:
            # does nothing after an answer: the caller left, or never finished asking
            self._world.calls.settle(ask.seq, status=None, answered=False)

    @property
    def newest_call(self) -> int:
        """The number of the last call; the next one has the number after it."""
        return self._world.calls.newest

    def forget(self) -> None:
        """Cancel late effects, so that none reaches a world that was reset."""
        for task in self._working:
            task.cancel()

    def _begin(self, incoming: Incoming, upstream: Upstream, route: Route | None) -> Ask:
        key = PLATFORMS[upstream.kind].identify(upstream, incoming.headers)
        operation = route.operation if route else "unknown"
        seq = self._world.calls.begin(
            upstream=upstream.name, kind=upstream.kind, operation=operation, path=incoming.path, key=key
        )
        return Ask(
            seq=seq,
            upstream=upstream,
            operation=operation,
            path=incoming.path,
            key=key,
            headers=incoming.headers,
            query=incoming.query,
        )

    def _address(self, platform: Platform, ask: Ask) -> Ask:
        target = platform.address(self._world, ask)
        self._world.calls.note(ask.seq, session=target.session, model=target.model)
        return replace(ask, session=target.session, model=target.model)

    async def _answer(self, turn: Turn) -> Reply:
        """Answer in a task of its own, so that begun work is finished even if the caller leaves."""
        task = asyncio.create_task(self._work(turn))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return await asyncio.shield(task)

    async def _work(self, turn: Turn) -> Reply:
        rule = self._world.faults.take(turn.ask)
        seq = turn.ask.seq
        if rule is None:
            reply = turn.perform()
        else:
            self._world.calls.note(seq, fault=rule.name)
            made = FAULTS[rule.name](turn, **rule.params)
            reply = await made if inspect.isawaitable(made) else made
        self._world.calls.note(seq, effect=reply.effect, session=reply.session or turn.ask.session)
        return reply


async def _read(request: web.Request) -> Body:
    if request.content_type == "multipart/form-data":
        return Body(form=await _read_form(request))
    return Body(json=parse(await request.read()))


def parse(body: bytes) -> Any:
    """Return the body as JSON, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def _read_form(request: web.Request) -> Mapping[str, bytes]:
    """Read the fields into memory: they are small, and files would have to be closed."""
    fields: dict[str, bytes] = {}
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name:
                fields[part.name] = await part.read()
    except (ValueError, AssertionError):
        return {}
    return fields
