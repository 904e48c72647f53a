"""Who asks: the scopes of a token, and the account that it is bound to."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request

from orchestrator.api.problems import ApiCode, Problem
from orchestrator.api.process import ApiProcess
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.values import ApiToken, Scope
from orchestrator.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request."""

    token: ApiToken

    @property
    def account_id(self) -> str | None:
        """The only account that the caller may see; None: all."""
        return self.token.account_id

    def needs(self, scope: Scope) -> None:
        """Raise Problem unless the caller has this scope."""
        if not self.token.allows(scope):
            raise Problem(ApiCode.FORBIDDEN, f"this needs a token with the scope {scope}")

    def may_see(self, account_id: str | None) -> bool:
        """Return whether the caller may see what belongs to this account."""
        return self.account_id in (None, account_id)

    def needs_account(self, account_id: str) -> None:
        """Raise Problem where the account is not the caller's: to the caller it does not exist."""
        if not self.may_see(account_id):
            raise unknown_account(account_id)

    def needs_all_accounts(self) -> None:
        """Raise Problem where the caller's token is bound to one account."""
        if self.account_id is not None:
            raise Problem(ApiCode.FORBIDDEN, "this needs a token that is not bound to one account")

    def task_id(self, key: str) -> str:
        """Return the task id of a request under this key. For a token of one account, it begins with
        the account and a space. Keys have no space, so they reach no other account's task ids."""
        return key if self.account_id is None else f"{self.account_id} {key}"


def caller_of(request: Request) -> Caller:
    """Return the caller that `authentication` found."""
    return Caller(request.state.token)


def process_of(request: Request) -> ApiProcess:
    """Return this process."""
    process: ApiProcess = request.app.state.process
    return process


def unknown_account(account_id: str) -> Problem:
    """Return the problem of an account that does not exist for the caller."""
    return Problem(
        ErrorCode.UNKNOWN_ACCOUNT, f"account {account_id} is unknown", details={"account_id": account_id}
    )


def unknown_session(session_id: str) -> Problem:
    """Return the problem of a session that does not exist for the caller."""
    return Problem(
        ErrorCode.UNKNOWN_SESSION, f"session {session_id} is unknown", details={"session_id": session_id}
    )


def unknown_model(model_id: str) -> Problem:
    """Return the problem of a model that does not exist for the caller."""
    return Problem(ErrorCode.UNKNOWN_MODEL, f"model {model_id} is unknown", details={"model_id": model_id})


async def needs_sessions(request: Request, *session_ids: str) -> None:
    """Raise Problem unless all of these are sessions of the caller's account. A session keeps its account for life, so
    that this holds when the job runs."""
    caller = caller_of(request)
    if caller.account_id is None:
        return

    def owners(tx: Transaction) -> dict[str, Any]:
        found = tx.sessions.accounts_of(session_ids)
        gone = set(session_ids) - found.keys()
        return found | {one.id: one.account_id for one in tx.archive.of(gone).values()}

    accounts = await process_of(request).read(owners)
    for session_id in session_ids:
        if accounts.get(session_id) != caller.account_id:
            raise unknown_session(session_id)
