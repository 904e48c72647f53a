"""The jobs that only read. They answer what the HTTP API answers, and write nothing: no inbox row, no outcome in it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from orchestrator.client.requests import GetAccount, GetSession, ListSessions
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle import archived
from orchestrator.flows.reports import account_view, views
from orchestrator.flows.reports.cursors import behind_of, cursor_of
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.queries.pages import Behind, SessionFilter
from orchestrator.store.transaction import Transaction

#: Returns what is read, as JSON. Raises Refusal.
Read = Callable[[Services, Transaction, Any], Mapping[str, Any]]


def known_session(tx: Transaction, session_id: str) -> dict[str, Any]:
    """Return the session as JSON, live, deleted or archived. Raises Refusal(unknown_session)."""
    now = tx.now()
    left = archived.shown(tx, session_id, now)
    if left is not None:
        return left[0]
    session = tx.sessions.get(session_id)
    if session is None:
        raise lookup.unknown(session_id)
    return views.of_session(tx, session, now)


def session_page(
    tx: Transaction, wanted: SessionFilter, limit: int, behind: Behind | None
) -> Mapping[str, Any]:
    """Return a page of sessions that are not deleted, newest first, and where the next page begins."""
    page = tx.pages.sessions(wanted, limit, behind)
    return {"items": views.of_sessions(tx, page.sessions, tx.now()), "next": cursor_of(page.behind)}


def _get_session(_: Services, tx: Transaction, request: GetSession) -> Mapping[str, Any]:
    return known_session(tx, request.session_id)


def _list_sessions(_: Services, tx: Transaction, request: ListSessions) -> Mapping[str, Any]:
    wanted = SessionFilter(
        states=tuple(dict.fromkeys(request.state)),
        account_id=request.account_id,
        provider=request.provider,
        model_id=request.model_id,
        name=request.name,
        unproven=request.unproven,
        since=request.since,
    )
    return session_page(tx, wanted, request.limit, behind_of(request.after))


def _get_account(services: Services, tx: Transaction, request: GetAccount) -> Mapping[str, Any]:
    account = tx.accounts.get(request.account_id)
    if account is None:
        message = f"account {request.account_id} is unknown"
        raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, message, account_id=request.account_id)
    return account_view.with_quota(tx, services.config, account, tx.now())


READS: Mapping[str, Read] = MappingProxyType(
    {
        "orchestrator.session.get": _get_session,
        "orchestrator.session.list": _list_sessions,
        "orchestrator.account.get": _get_account,
    }
)
