"""Which page needs what of the person's token. The API checks each of its routes again."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from orchestrator.api.callers import caller_of
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.rules.values import Scope

READ_ONLY = "this console is read-only: nothing was changed"


def needs(scope: Scope, *, all_accounts: bool = False) -> list[Any]:
    """Return the dependencies of a page that needs this scope. `all_accounts`: it is not for tokens of one account.
    Whatever needs more than `read` changes something, and is refused by a console that is read-only."""

    async def check(request: Request) -> None:
        caller = caller_of(request)
        caller.needs(scope)
        if scope is not Scope.READ and request.app.state.read_only:
            raise Problem(ApiCode.FORBIDDEN, READ_ONLY)
        if all_accounts:
            caller.needs_all_accounts()

    allowed: Callable[[Request], Awaitable[None]] = check
    return [Depends(allowed)]


READ = needs(Scope.READ)
OPERATE = needs(Scope.OPERATE)
READ_ALL = needs(Scope.READ, all_accounts=True)
ADMIN = needs(Scope.ADMIN)
ADMIN_ALL = needs(Scope.ADMIN, all_accounts=True)
