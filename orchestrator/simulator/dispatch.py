"""From a request to its answer: log it, read it, let a fault or the platform answer, deliver."""

import asyncio
import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import BodyPartReader, web

from orchestrator.simulator.delivery import deliver
from orchestrator.simulator.faults import FAULTS
from orchestrator.simulator.faults.turn import Turn
from orchestrator.simulator.platform import Platform, Route
from orchestrator.simulator.platforms import PLATFORMS
from orchestrator.simulator.values import Upstream
from orchestrator.simulator.wire import Ask, Reply
from orchestrator.simulator.world import Simulator


class Dispatcher:
    """Plays every upstream of one world."""

    def __init__(self, world: Simulator) -> None:
        self._world = world
        self._working: set[asyncio.Task[Reply]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        upstream = self._world.upstreams.get(request.match_info["upstream"])
        if upstream is None:
            return web.json_response({"error": "no such upstream"}, status=404)
        platform = PLATFORMS[upstream.kind]
        path = f"/{request.match_info['path']}"
        route, named = platform.find(request.method, path)
        ask = self._begin(request, upstream, path, route)
        try:
            ask = self._address(platform, await _read(request, replace(ask, named=named)))
            reply = await self._answer(Turn(world=self._world, platform=platform, ask=ask, route=route))
            return await deliver(request, reply, partial(self._world.calls.settle, ask.seq))
        finally:
            # does nothing after an answer: the caller left, or never finished asking
            self._world.calls.settle(ask.seq, status=None, answered=False)

    def forget(self) -> None:
        """Stop late effects, so that none of them reaches a world that was reset."""
        for task in self._working:
            task.cancel()

    def _begin(self, request: web.Request, upstream: Upstream, path: str, route: Route | None) -> Ask:
        key = PLATFORMS[upstream.kind].identify(upstream, request.headers)
        operation = route.operation if route else "unknown"
        seq = self._world.calls.begin(
            upstream=upstream.name, kind=upstream.kind, operation=operation, path=path, key=key
        )
        headers, query = request.headers, request.query
        return Ask(
            seq=seq,
            upstream=upstream,
            operation=operation,
            path=path,
            key=key,
            headers=headers,
            query=query,
        )

    def _address(self, platform: Platform, ask: Ask) -> Ask:
        target = platform.address(self._world, ask)
        self._world.calls.note(ask.seq, session=target.session, model=target.model)
        return replace(ask, session=target.session, model=target.model)

    async def _answer(self, turn: Turn) -> Reply:
        """A task of its own, for what has begun is finished even if the caller leaves."""
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


async def _read(request: web.Request, ask: Ask) -> Ask:
    if request.content_type == "multipart/form-data":
        return replace(ask, form=await _read_form(request))
    return replace(ask, json=_parse(await request.read()))


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def _read_form(request: web.Request) -> Mapping[str, bytes]:
    """Fields in memory: what is sent here is small, and files would have to be closed."""
    fields: dict[str, bytes] = {}
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name:
                fields[part.name] = await part.read()
    except (ValueError, AssertionError):
        return {}
    return fields
