"""What `top` reads from the database, in one transaction for each look."""

from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.cli.shared.reading import configured
from orchestrator.cli.top.screen import Json, Look, TopScreen
from orchestrator.rules.states import LIVE

if TYPE_CHECKING:
    from orchestrator.settings import Configuration
    from orchestrator.store.database import Database
    from orchestrator.store.transaction import Transaction

#: Sessions of one look.
MOST = 1_000


class Observer:
    """Reads one database."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    def look(self, screen: TopScreen | None) -> Look:
        """Return what is there now, as this screen needs it; None: as the first one does."""
        from orchestrator.flows.reports import views
        from orchestrator.flows.reports.overview import overview
        from orchestrator.store.queries.pages import SessionFilter

        live_only = screen is None or screen.live_only
        wanted = SessionFilter(states=tuple(sorted(LIVE)) if live_only else ())
        with self._database.reading() as tx:
            now = tx.now()
            page = tx.pages.sessions(wanted, MOST)
            return Look(
                at=now,
                sessions=views.of_sessions(tx, page.sessions, now),
                total=len(page.sessions) if page.behind is None else tx.pages.count_sessions(wanted),
                overview=overview(tx, now),
                explanation=self._explanation(tx, screen.explained) if screen and screen.explained else None,
            )

    def _explanation(self, tx: "Transaction", session_id: str) -> Json | None:
        from orchestrator.flows.reports.explain import explain

        session = tx.sessions.get(session_id)
        if session is None:
            return None
        return explain(tx, session, self._configuration.policy_for(session.provider), tx.now())

    @cached_property
    def _configuration(self) -> "Configuration":
        """The configuration, which is read when the first session is explained: it imports every driver."""
        return configured()
