"""Receivers of webhooks: a good one, and four that hang, lie, redirect, or answer 200 and forget."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import select
from standardwebhooks import Webhook, WebhookVerificationError

from orchestrator.store.database import Database
from orchestrator.store.queries.outbox import OUTBOX
from tests.receiver import SECRET
from tests.waiting import eventually

KINDS = ("good", "hangs", "truncates", "redirects", "forgets")
#: Longer than a sender waits.
HANGS = 15.0
#: Seconds until the good one has everything, once everything else is at rest.
ALL_WITHIN = 90.0


@dataclass
class Receivers:
    """What arrived at each. `url`: of the server, each receiver below its own path."""

    url: str = ""
    asked: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*KINDS, "trap"), 0))
    arrived: list[Mapping[str, Any]] = field(default_factory=list)
    """At the good one, in order; its signature was checked against this machine's clock."""
    forged: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def configuration(self) -> str:
        """Return the tables of orchestrator.toml."""
        return "".join(
            f'[webhooks.{kind}]\nurl = "{self.url}/{kind}"\nsecrets = ["env:CHAOS_HOOK"]\n\n'
            for kind in KINDS
        )

    def until_all_arrived(self, database: Database) -> None:
        """Wait until nothing waits for the good one, and it has read every event."""

        def done() -> bool:
            with database.reading() as tx:
                good = tx.webhooks.get("good")
                newest = tx.webhooks.newest_place()
                waiting = tx.webhooks.backlog("good").waiting
            return good is not None and good.place >= newest and not waiting

        eventually(done, "every event has arrived at the good receiver", ALL_WITHIN, every=0.5)

    def faults(self, database: Database) -> list[str]:
        """Return what is wrong: events that did not arrive at the good one, order, signatures, followed redirects."""
        with database.reading() as tx:
            query = select(OUTBOX.c.id, OUTBOX.c.subject).order_by(OUTBOX.c.seq)
            sent = tx.connection.execute(query).all()
        place = {row.id: n for n, row in enumerate(sent)}
        first = list({str(event["id"]): event for event in reversed(self.arrived)}.values())[::-1]
        newest: dict[str, int] = {}
        overtaken = []
        for event in first:
            at, subject = place[str(event["id"])], str(event["subject"])
            overtaken += [subject] if at < newest.get(subject, -1) else []
            newest[subject] = at
        missing = place.keys() - {str(event["id"]) for event in first}
        return [
            *(f"{len(missing)} events did not arrive" for _ in range(bool(missing))),
            *(f"the events of {subject} arrived in another order" for subject in overtaken),
            *(f"a signature was refused: {why}" for why in self.forged),
            *(f"a redirect was followed {self.asked['trap']} times" for _ in range(bool(self.asked["trap"]))),
            *(f"{kind} was never asked" for kind in KINDS if not self.asked[kind]),
        ]


class _Handler(BaseHTTPRequestHandler):
    state: Receivers

    def do_POST(self) -> None:
        kind = self.path.strip("/")
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.state.asked[kind] += 1
        match kind:
            case "good":
                self._take(body)
            case "hangs":
                self.state.over.wait(HANGS)
                self.close_connection = True
            case "truncates":  # it promises more than it sends
                self._answer(200, length=1000)
                self.close_connection = True
            case "redirects":
                self._answer(307, location=f"{self.state.url}/trap")
            case _:
                self._answer(200)

    def _take(self, body: str) -> None:
        try:
            Webhook(SECRET).verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.state.forged.append(str(error))
            self._answer(401)
        else:
            self.state.arrived.append(json.loads(body))
            self._answer(204)

    def _answer(self, status: int, *, length: int = 0, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def receivers() -> Iterator[Receivers]:
    """Serve all of them on one free port."""
    state = Receivers()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
