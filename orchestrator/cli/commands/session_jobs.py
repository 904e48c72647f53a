"""`session create|start|close|extend|ping|delete`: jobs, by the contract's keyword arguments."""

from typing import Annotated, Any, TypeAlias

import typer

from orchestrator.cli.commands import session_options as options
from orchestrator.cli.commands.close_many import or_many
from orchestrator.cli.shared.known import CLOSEABLE, SESSION, known
from orchestrator.cli.shared.options import given
from orchestrator.cli.shared.person import person
from orchestrator.cli.shared.sending import Json, sends
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.shared.waiting import until_running
from orchestrator.cli.views.leftover_tables import show_closed
from orchestrator.cli.views.session_tables import show_result

app = typer.Typer()

_HELP = "The session's id, its beginning, or its name."
SessionId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help=_HELP, **known(SESSION))]
#: A session, or what lives at a provider without one.
CloseableId: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="[ID]", help=f"{_HELP} Or an orphan's id.", **known(CLOSEABLE))
]
OnQuota: TypeAlias = Annotated[
    str | None, typer.Option(help="reject or queue; by default as it was created.")
]


@app.command()
@sends("session.create", show_result, follow=until_running)
def create(  # the contract's arguments, one option each
    account: options.Account,
    model: options.ModelId,
    name: options.Name = None,
    session_id: options.SessionIdOption = None,
    description: options.Description = None,
    nodes: options.Nodes = None,
    start: options.Start = True,
    on_quota: options.OnQuotaOption = None,
    failover: options.Failover = False,
    provider: options.Provider = None,
    credential: options.Credential = None,
    metadata: options.Metadata = None,
    max_duration: options.MaxDuration = None,
    max_interactions: options.MaxInteractions = None,
    idle: options.Idle = None,
    max_cost: options.MaxCost = None,
    direct_payment: options.DirectPayment = None,
    upstream_failover: options.UpstreamFailover = None,
    bid_id: options.BidId = None,
    attach_url: options.AttachUrl = None,
    attach_secret_ref: options.AttachSecretRef = None,
    attach_model: options.AttachModel = None,
    attach_ends_at: options.AttachEndsAt = None,
) -> Json:
    """Create a session, and start it unless --no-start is given."""
    who = given(account_id=account, model_id=model, name=name, session_id=session_id, description=description)
    where = given(nodes=nodes, on_quota=on_quota, provider=provider, credential=credential)
    stop = _stop(max_duration, max_interactions, max_cost) | given(idle_seconds=idle)
    upstream = given(direct_payment=direct_payment, failover=upstream_failover, bid_id=bid_id)
    attach = options.attach_of(attach_url, attach_secret_ref, attach_model, attach_ends_at)
    flags = {"start": start, "failover": failover}
    beside = given(
        stop=stop, provider_options=upstream, attach=attach, metadata=options.metadata_of(metadata)
    )
    return who | where | flags | beside


@app.command()
@sends("session.start", show_result, follow=until_running)
def start(session_id: SessionId, on_quota: OnQuota = None) -> Json:
    """Start a session that was created with --no-start."""
    return given(session_id=session_id, on_quota=on_quota)


@app.command()
@or_many
@sends("session.close", show_closed)
def close(
    session_id: CloseableId = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Close with the reason `operator` instead of `user`.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Confirm that it is closed upstream: you have proof (with --operator)."
        ),
    ] = False,
    detail: Annotated[
        str | None, typer.Option("--detail", "--reason", help="The reason, in a sentence; it is kept.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="End it without proof; it may still run at the platform. Needs --reason. Close without --force first.",
        ),
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who forces it; user@host by default.")] = None,
) -> Json:
    """Stop a session, or those of --where. Answers once the stop is decided; `session show` says when it is proven
    closed. A close without proof is tried again at once."""
    _check_close(operator=operator, confirm=confirm, force=force, why=detail, by=by)
    reason = "operator" if operator or force else "user"
    forced = {"force": True, "by": by or person()} if force else {}
    return given(session_id=session_id, reason=reason, detail=detail) | {"confirm": confirm} | forced


@app.command()
@sends("session.extend", show_result)
def extend(
    session_id: SessionId,
    max_duration: options.MaxDuration = None,
    max_interactions: options.MaxInteractions = None,
    max_cost: options.MaxCost = None,
) -> Json:
    """Let a session run longer: new totals, not additions."""
    return given(session_id=session_id) | _stop(max_duration, max_interactions, max_cost)


@app.command()
@sends("session.ping", show_result)
def ping(session_id: SessionId) -> Json:
    """Ping a session out of turn. Does not wait for the ping; `session show` has its verdict."""
    return given(session_id=session_id)


@app.command()
@sends("session.delete", show_result)
def delete(session_id: SessionId) -> Json:
    """Delete a session that is over or never started: frees its place and its name."""
    return given(session_id=session_id)


def _check_close(*, operator: bool, confirm: bool, force: bool, why: str | None, by: str | None) -> None:
    if force and confirm:
        raise Misused("--force is for a close without proof, --confirm for one with it: give one")
    if force and not (why or "").strip():
        raise Misused("--force needs --reason: why, in a sentence for the report")
    if confirm and not operator:
        raise Misused("--confirm needs --operator: only an operator can prove a close")
    if by is not None and not force:
        raise Misused("--by says who forces it: it needs --force")


def _stop(duration: int | None, interactions: int | None, cost: str | None) -> dict[str, Any]:
    return given(max_duration_seconds=duration, max_interactions=interactions, max_cost=cost)
