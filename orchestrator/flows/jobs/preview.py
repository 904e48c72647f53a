"""What a create would answer now: the job's own effect, in a transaction that is undone."""

from collections.abc import Mapping
from typing import Any, NoReturn

from orchestrator.client.requests import CreateSession
from orchestrator.flows.engine.crowd import StopsFirst
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.create_session import create_session
from orchestrator.flows.lifecycle.due_stops import stop_all
from orchestrator.store.transaction import Transaction


class _Undone(Exception):
    """Ends the transaction without a commit."""

    def __init__(self, session: Mapping[str, Any]) -> None:
        super().__init__()
        self.session = session


def preview(services: Services, request: CreateSession) -> Mapping[str, Any]:
    """Return the session as it would be: starting, queued or created. Nothing is kept, and nothing is sent.

    Raises Refusal as the job would, and AccountBusy."""

    def create(tx: Transaction) -> NoReturn:
        raise _Undone(create_session(services, tx, request))

    while True:
        try:
            services.database.attempt(create)
        except _Undone as undone:
            return undone.session
        except StopsFirst as first:  # these stops are due whatever is asked
            stop_all(services, first.account_id)
