"""The control endpoint: where tests and operators arrange the world and look at it."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from orchestrator.simulator.operate import Operator
from orchestrator.simulator.specs import BadInput

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FILTERS = ("upstream", "kind", "operation", "key", "session", "model", "fault")


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every faulty control request with JSON that says what is wrong."""
    if not request.path.startswith("/control"):
        return await handler(request)
    try:
        return await handler(request)
    except BadInput as wrong:
        return web.json_response(wrong.payload, status=wrong.status)
    except web.HTTPException as wrong:
        return web.json_response({"error": wrong.reason}, status=wrong.status, headers=_allowed(wrong))


def _allowed(wrong: web.HTTPException) -> dict[str, str]:
    return {"Allow": wrong.headers["Allow"]} if "Allow" in wrong.headers else {}


class Control:
    """Reads requests, lets the operator act, writes what came of it."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put("/control/upstreams/{name}", self._put_upstream),
            web.get("/control/upstreams", self._upstreams),
            web.post("/control/faults", self._add_fault),
            web.get("/control/faults", self._faults),
            web.delete("/control/faults", self._clear_faults),
            web.delete("/control/faults/{id}", self._remove_fault),
            web.get("/control/log", self._log),
            web.delete("/control/log", self._clear_log),
            web.get("/control/sessions", self._sessions),
            web.get("/control/open", self._open),
            web.post("/control/sessions/{id}/end", self._end),
            web.get("/control/report", self._report),
            web.post("/control/reset", self._reset),
            web.route("*", "/control{rest:(/.*)?}", self._nothing),
        ]

    async def _put_upstream(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        base_url = self._operator.put_upstream(name, await _json(request), str(request.url.origin()))
        return web.json_response({"name": name, "base_url": base_url})

    async def _upstreams(self, request: web.Request) -> web.Response:
        return web.json_response(self._operator.upstreams(str(request.url.origin())))

    async def _add_fault(self, request: web.Request) -> web.Response:
        return web.json_response({"id": self._operator.add_fault(await _json(request))})

    async def _faults(self, _request: web.Request) -> web.Response:
        return _listed(self._operator.world.faults.all())

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._operator.world.faults.clear()
        return web.json_response({})

    async def _remove_fault(self, request: web.Request) -> web.Response:
        if not self._operator.world.faults.remove(request.match_info["id"]):
            raise BadInput("no such fault", status=404)
        return web.json_response({})

    async def _log(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        since = query.pop("since", "0")
        unknown = sorted(set(query) - set(FILTERS))
        if unknown:
            raise BadInput(f"unknown filters {unknown}", known=["since", *FILTERS])
        if not since.isdecimal():
            raise BadInput("since is a call's seq")
        return _listed(self._operator.world.calls.read(int(since), **query))

    async def _clear_log(self, _request: web.Request) -> web.Response:
        self._operator.world.calls.clear()
        return web.json_response({})

    async def _sessions(self, _request: web.Request) -> web.Response:
        return _listed(self._operator.world.sessions.all())

    async def _open(self, _request: web.Request) -> web.Response:
        return _listed(self._operator.world.sessions.open_now())

    async def _end(self, request: web.Request) -> web.Response:
        given = await _json(request) if request.can_read_body else {}
        if not isinstance(given, dict):
            raise BadInput("the body is an object with `how`")
        how = given.get("how", request.query.get("how", "expired"))
        return web.json_response(self._operator.end_session(request.match_info["id"], how).as_json())

    async def _report(self, _request: web.Request) -> web.Response:
        return web.json_response(self._operator.world.report().as_json())

    async def _reset(self, _request: web.Request) -> web.Response:
        self._operator.reset()
        return web.json_response({})

    async def _nothing(self, _request: web.Request) -> web.Response:
        raise BadInput("there is nothing here", status=404)


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise BadInput("the body is no JSON") from None


def _listed(things: list[Any]) -> web.Response:
    return web.json_response([thing.as_json() for thing in things])
