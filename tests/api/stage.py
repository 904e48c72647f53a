"""The API over the small world: a real server in a thread, and clients with tokens."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx

from orchestrator.api.app import create_app, document
from orchestrator.api.process import ApiProcess
from orchestrator.api.serving import Application, server_of
from orchestrator.flows.operations.tokens import create_token
from orchestrator.rules.values import Scope
from tests.world import World

#: Seconds for one request on a busy machine.
WAIT_LIMIT = 60.0
#: The body that puts a model of speech.
SPEECH_MODEL = {
    "provider": "alpha",
    "provider_model_id": "llama-3",
    "type": "ASR",
    "price_per_node_hour": "1.20",
    "currency": "USD",
}


class Api:
    """A served API. It is called in tests like an operator's client, with all scopes."""

    def __init__(self, world: World, application: Application = create_app) -> None:
        self.world = world
        self.process = ApiProcess(world.services, world.webhooks)
        self._server = server_of(self.process, application=application)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._clients: list[httpx.Client] = []
        self.operator = self.client(Scope.ADMIN, Scope.REVEAL)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._server.handle_exit(15, None)
        self._thread.join(WAIT_LIMIT)
        assert not self._thread.is_alive()
        self._listener.close()

    def token(self, *scopes: Scope, account: str | None = None, name: str = "test") -> str:
        """Return the text of a new token."""
        return create_token(self.world.services.database, name, set(scopes), account_id=account).text

    def client(self, *scopes: Scope, account: str | None = None, name: str = "test") -> httpx.Client:
        """Return a client with a token."""
        return self.client_with(self.token(*scopes, account=account, name=name))

    def client_with(self, token: str | None) -> httpx.Client:
        """Return a client with this token."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        client = httpx.Client(base_url=f"{self.url}/v1", headers=headers, timeout=WAIT_LIMIT, trust_env=False)
        self._clients.append(client)
        return client

    def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        """Return the answer to a request that reads."""
        return answered(self.operator.get(path, params=query), status)

    def post(self, path: str, body: Any = None, *, status: int = 200, key: str | None = None) -> Any:
        """Return the answer to a request that changes something."""
        headers = {"Idempotency-Key": key} if key else {}
        return answered(self.operator.post(path, json=body or {}, headers=headers), status)

    def create(self, key: str | None = None, **body: Any) -> str:
        """Return the id of a new session."""
        session: dict[str, Any] = self.post(
            "/sessions", {"account_id": "acme", "model_id": "llama"} | body, status=201, key=key
        )
        return str(session["id"])

    def all_pages(self, path: str, **query: Any) -> list[Any]:
        """Return the items of every page."""
        found, after = [], None
        while True:
            page = self.get(path, **query, **({"after": after} if after else {}))
            found += page["items"]
            after = page["next"]
            if after is None:
                return found


def answered(response: httpx.Response, status: int = 200) -> Any:
    """Return the content of an answer that must have this status."""
    assert response.status_code == status, (response.status_code, response.text)
    if status >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status
        assert problem["type"] == f"urn:orchestrator:problem:{problem['code']}"
    return response.json()


@contextmanager
def events_of(
    client: httpx.Client, *, last: str | None = None, **query: Any
) -> Iterator[Iterator[dict[str, Any]]]:
    """Open a stream of events."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    with client.stream("GET", "/events", params=query, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        messages = _messages(response.iter_lines())
        assert next(messages)[""].startswith("events from "), "the stream has joined the feed"
        yield (one for one in messages if "data" in one)


def _messages(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield each message with its fields."""
    message: dict[str, Any] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            message[name] = value
        elif message:
            yield message
            message = {}


def names(items: Sequence[Any]) -> list[str]:
    """Return the names of sessions."""
    return [item["name"] for item in items]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation) of every route, from the OpenAPI document."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation
