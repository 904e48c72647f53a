"""A receiver of webhooks on this machine, which answers as each test sets it."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Verifier

from orchestrator.rules.values import Delivery

#: As the Standard Webhooks write secrets.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What arrived, in its order, and how the next event is answered."""

    url: str = ""
    answer: Callable[[Mapping[str, Any]], int] = lambda _event: 204
    tried: list[Mapping[str, Any]] = field(default_factory=list)
    taken: list[Mapping[str, Any]] = field(default_factory=list)
    bodies: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    location: str = ""
    retry_after: str = ""

    def types(self, subject: str | None = None) -> list[str]:
        """Return the types of the events that it took."""
        return [event["type"] for event in self.taken if subject in (None, event["subject"])]

    def verified(self, secret: str = SECRET) -> int:
        """Return how many requests bear a signature of this secret, at the time that they name."""
        for body, headers in self.bodies:
            signed = Verifier(secret).sign(headers["webhook-id"], _instant(headers), body)
            assert signed in headers["webhook-signature"].split(), headers
        return len(self.bodies)

    def times(self) -> list[datetime]:
        """Return when the requests were signed, by their headers."""
        return [_instant(headers) for _, headers in self.bodies]


def _instant(headers: Mapping[str, str]) -> datetime:
    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


def an_event_for(name: str, at: datetime) -> Delivery:
    """Return an event that waits for this webhook since then."""
    return Delivery(
        webhook=name,
        seq=1,
        event_id="an-event",
        type="orchestrator.session.stopped",
        subject="a-session",
        time=at,
        data={},
        since=at,
        next_at=at,
    )


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            event = json.loads(body)
            state.tried.append(event)
            status = state.answer(event)
            state.bodies.append((body, dict(self.headers)))
            if 200 <= status < 300:
                state.taken.append(event)
            self.send_response(status)
            if state.location:
                self.send_header("location", state.location)
            if state.retry_after and status >= 400:
                self.send_header("retry-after", state.retry_after)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
