"""Send requests to the HTTP API, and repeat them where that is safe.

with ApiClient("http://127.0.0.1:8800", token) as api:
    session = api.send(calls.create_session(CreateSession(account_id="acme", model_id="llama-3.1-8b")))
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from orchestrator.client import resources
from orchestrator.client.api_call import ApiCall
from orchestrator.rules.backoff import backoff

if TYPE_CHECKING:
    import httpx

T = TypeVar("T", bound=resources.Resource)

#: How often a request is sent at most; the first pause between two tries, and the longest. Seconds.
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 5, 0.2, 10.0
#: The API waits up to a minute for a state.
TIMEOUT = 75.0
#: Statuses that a repeated request may not meet again.
_PASSING = frozenset({429, 502, 503, 504})


class ApiUnreachable(Exception):
    """No answer came. What a request with a key has done is answered when it is sent again under that key."""


class ApiRefused(Exception):
    """The API refused the request: `code` for machines, `faults` by path."""

    def __init__(self, problem: resources.ProblemResource) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.code, self.status = problem.code, problem.status
        self.faults, self.details = problem.faults, problem.details


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a stream, and the id with which a stream resumes behind it."""

    id: str
    event: resources.EventResource


class ApiClient:
    """Sends requests one after another. Threads may share it."""

    def __init__(
        self, url: str, token: str, *, tries: int = TRIES, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Prepare. `url`: such as https://orchestrator.example; `pause`: waits this many seconds before a retry."""
        import httpx

        self._http = httpx.Client(**_options(url, token))
        self._tries, self._pause = tries, pause

    def send(self, call: ApiCall[T]) -> T:
        """Return the answer. Raises ApiRefused, and ApiUnreachable where none came."""
        for n in range(1, self._tries + 1):
            answer: httpx.Response | Exception = self._try(call)
            if not _may_pass(call, answer) or n == self._tries:
                break
            self._pause(_pause_after(n, answer))
        return _content(call, answer)

    def items(self, call: ApiCall[Any]) -> Iterator[Any]:
        """Yield the items of every page of a list."""
        following: ApiCall[Any] | None = call
        while following is not None:
            page = self.send(following)
            yield from page.items
            following = _following(following, page)

    def events(self, *, last: str | None = None, **query: str) -> Iterator[Happened]:
        """Yield events as they happen, behind the id `last`, and resume where the connection was lost, until the API
        refuses it."""
        import httpx

        while True:
            try:
                with self._http.stream("GET", "/events", **_stream(query, last)) as response:
                    if response.status_code != _OK:
                        response.read()
                        _raise_no_stream(response)
                    parser = _StreamParser()
                    for line in response.iter_lines():
                        happened = parser.take(line)
                        last = parser.last or last
                        if happened is not None:
                            yield happened
            except (httpx.TransportError, _NotNow):
                pass
            self._pause(1.0)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, call: ApiCall[Any]) -> "httpx.Response | Exception":
        import httpx

        try:
            return self._http.request(**_request(call))
        except httpx.TransportError as error:
            return error


class AsyncApiClient:
    """Sends requests on one event loop."""

    def __init__(self, url: str, token: str, *, tries: int = TRIES) -> None:
        """Prepare. `url`: such as https://orchestrator.example."""
        import httpx

        self._http = httpx.AsyncClient(**_options(url, token))
        self._tries = tries

    async def send(self, call: ApiCall[T]) -> T:
        """Return the answer. Raises ApiRefused, and ApiUnreachable where none came."""
        for n in range(1, self._tries + 1):
            answer: httpx.Response | Exception = await self._try(call)
            if not _may_pass(call, answer) or n == self._tries:
                break
            await asyncio.sleep(_pause_after(n, answer))
        return _content(call, answer)

    async def items(self, call: ApiCall[Any]) -> AsyncIterator[Any]:
        """Yield the items of every page of a list."""
        following: ApiCall[Any] | None = call
        while following is not None:
            page = await self.send(following)
            for item in page.items:
                yield item
            following = _following(following, page)

    async def events(self, *, last: str | None = None, **query: str) -> AsyncIterator[Happened]:
        """Yield events as they happen, behind the id `last`, and resume where the connection was lost, until the API
        refuses it."""
        import httpx

        while True:
            try:
                async with self._http.stream("GET", "/events", **_stream(query, last)) as response:
                    if response.status_code != _OK:
                        await response.aread()
                        _raise_no_stream(response)
                    parser = _StreamParser()
                    async for line in response.aiter_lines():
                        happened = parser.take(line)
                        last = parser.last or last
                        if happened is not None:
                            yield happened
            except (httpx.TransportError, _NotNow):
                pass
            await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _try(self, call: ApiCall[Any]) -> "httpx.Response | Exception":
        import httpx

        try:
            return await self._http.request(**_request(call))
        except httpx.TransportError as error:
            return error


class _NotNow(Exception):
    """The API, or a proxy before it, cannot open the stream now."""


class _StreamParser:
    """Reads server-sent events line by line."""

    def __init__(self) -> None:
        self.last: str | None = None
        self._data: list[str] = []

    def take(self, line: str) -> Happened | None:
        """Take one line; return the event that it completes."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self.last = value
        elif name == "data":
            self._data.append(value)
        elif not line and self._data:
            event = resources.EventResource.model_validate_json("\n".join(self._data))
            self._data = []
            return Happened(self.last or "", event)
        return None


_OK, _BAD = 200, 400


def _options(url: str, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    return {"base_url": f"{url.rstrip('/')}/v1", "headers": headers, "timeout": TIMEOUT}


def _request(call: ApiCall[Any]) -> dict[str, Any]:
    body = {} if call.body is None else {"json": call.body}
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query,
        "headers": call.headers,
        **body,
    }


def _stream(query: Mapping[str, str], last: str | None) -> dict[str, Any]:
    resumes = {} if last is None else {"Last-Event-ID": last}
    return {"params": query, "headers": {"Accept": "text/event-stream", **resumes}}


def _may_pass(call: ApiCall[Any], answer: "httpx.Response | Exception") -> bool:
    """Return whether the request is sent again."""
    failed = isinstance(answer, Exception) or answer.status_code in _PASSING
    return failed and call.is_repeatable


def _following(call: ApiCall[Any], page: Any) -> ApiCall[Any] | None:
    """Return the request for the next page; None if this is the last. The last page of events names itself."""
    return call.behind(page.next) if page.next and page.next != call.query.get("after") else None


def _pause_after(tries: int, answer: "httpx.Response | Exception") -> float:
    """Return the seconds before the next try: what the API asks for, or twice as long each time."""
    asked = "" if isinstance(answer, Exception) else answer.headers.get("retry-after", "")
    own = backoff(FIRST_PAUSE, tries - 1, LONGEST_PAUSE)
    seconds = min(float(asked), LONGEST_PAUSE) if asked.isdigit() else own
    return seconds * random.uniform(1.0, 1.2)


def _content(call: ApiCall[T], answer: "httpx.Response | Exception") -> T:
    if isinstance(answer, Exception):
        raise ApiUnreachable(f"{call.method} {call.path}: {type(answer).__name__}") from answer
    if answer.status_code >= _BAD:
        _raise_refused(answer)
    return call.returns.model_validate_json(answer.content)


def _raise_no_stream(response: "httpx.Response") -> None:
    """Raise _NotNow where the stream may be opened later, or else what says why it is not."""
    if response.status_code in _PASSING:
        raise _NotNow
    _raise_refused(response)


def _raise_refused(response: "httpx.Response") -> None:
    """Raise ApiRefused. What a proxy answers is no problem of ours."""
    if response.headers.get("content-type") != "application/problem+json":
        raise ApiUnreachable(f"something else answers there: status {response.status_code}")
    raise ApiRefused(resources.ProblemResource.model_validate_json(response.content))
