"""`token create|list|revoke`: who may use the HTTP API."""

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, Complaint
from orchestrator.cli.shared.fitting import Column, Forms
from orchestrator.cli.shared.known import ACCOUNT, TOKEN, known
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_line, say, show
from orchestrator.cli.shared.reading import opened
from orchestrator.cli.shared.spans import seconds_of
from orchestrator.cli.shared.tables import table
from orchestrator.cli.shared.times import whens
from orchestrator.cli.shared.usage import Misused
from orchestrator.rules.events import rfc3339
from orchestrator.rules.text import MAX_NAME, line_fault
from orchestrator.rules.values import Scope

if TYPE_CHECKING:
    from orchestrator.rules.values import ApiToken

_COLUMNS = (
    Column("id", whole=True),
    Column("name"),
    Column("scopes"),
    Column("account", rank=1),
    Column("created", rank=3),
    Column("expires"),
    Column("last used", rank=2),
    Column(""),
)

app = typer.Typer()


def _lasts(text: str) -> timedelta:
    return timedelta(seconds=seconds_of(text))


@app.command()
def create(
    scope: Annotated[list[Scope], typer.Option(help="A scope that it allows; may be repeated.")],
    name: Annotated[str | None, typer.Option(help="Recorded with each change made under it.")] = None,
    account: Annotated[
        str | None, typer.Option(help="The only account that it sees.", **known(ACCOUNT))
    ] = None,
    expires: Annotated[
        timedelta | None, typer.Option(parser=_lasts, metavar="TIME", help="After 30m, 12h, 90d …")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token for the HTTP API. Its text is shown once: the database keeps only a digest."""
    from orchestrator.flows.operations.tokens import create_token

    name = name or f"token-{secrets.token_hex(3)}"
    fault = line_fault(name) or (f"has more than {MAX_NAME} characters" if len(name) > MAX_NAME else None)
    if fault is not None:
        raise Misused(f"--name: {fault}")
    with opened() as database:
        made = create_token(database, name, set(scope), account_id=account, lasts=expires)
    if as_json:
        return print_json({**_as_json(made.token), "token": made.text})
    say(f"token {made.token.id} ({name}): keep it, it is not shown again")
    return print_line(made.text)


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens, newest first, without their secrets."""
    with opened() as database, database.reading() as tx:
        now, tokens = tx.now(), tx.tokens.listed()
    if as_json:
        return print_json([_as_json(token) for token in tokens])
    rows = [
        (
            token.id,
            token.name,
            ", ".join(token.scopes),
            token.account_id or "all",
            whens(rfc3339(token.created_at), now),
            _or_never(token.expires_at, now),
            _or_never(token.last_used_at, now),
            "" if token.is_valid(now) else ("revoked" if token.revoked_at else "expired"),
        )
        for token in tokens
    ]
    return show(table(_COLUMNS, rows))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or its name.", **known(TOKEN))],
    as_json: AsJson = False,
) -> None:
    """Revoke a token: no request is answered with it from now on."""
    with opened() as database:
        token = database.transact(lambda tx: tx.tokens.revoke(token_id, tx.now()))
    if token is None:
        raise Complaint(
            f"no token has this id: {token_id}; `orchestrator token list` has all",
            NOT_FOUND,
            "unknown_token",
            token_id=token_id,
        )
    return print_json(_as_json(token)) if as_json else print_line(f"{token_id} is revoked")


def _or_never(at: datetime | None, now: datetime) -> Forms:
    return whens(rfc3339(at), now) if at else Forms(["never"])


def _as_json(token: "ApiToken") -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "account_id": token.account_id,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "revoked_at": rfc3339(token.revoked_at),
        "last_used_at": rfc3339(token.last_used_at),
    }
