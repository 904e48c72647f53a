"""`session list|show|explain|endpoint`: read from the database."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from orchestrator.cli.commands import session_jobs
from orchestrator.cli.commands.endpoints import endpoint_of, revealed, samples_of
from orchestrator.cli.commands.session_jobs import SessionId
from orchestrator.cli.commands.session_list import list_sessions
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_text, show
from orchestrator.cli.shared.reading import configured, found_session, reading
from orchestrator.cli.shared.tables import pairs
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.views import session_tables as tables
from orchestrator.cli.views.explaining import explained

#: Events in `session show`.
_RECENT = 10
app = typer.Typer()
app.command("list")(list_sessions)
app.add_typer(session_jobs.app)


class Language(StrEnum):
    """The language of sample code."""

    CURL = "curl"
    PYTHON = "python"
    JAVASCRIPT = "javascript"


@app.command("show")
def show_session(session_id: SessionId, as_json: AsJson = False) -> None:
    """Show one session with its placements and its latest events; an archived one as it was."""
    from orchestrator.flows.lifecycle import archived
    from orchestrator.flows.reports import views

    with reading() as tx:
        now = tx.now()
        left = archived.shown(tx, session_id, now)
        if left is None:
            session = views.of_session(tx, found_session(tx, session_id), now)
            placements = tx.placements.of_session(session_id)
        else:
            session, placements = left
        events = tx.outbox.newest(subject=session_id, limit=_RECENT)
    if as_json:
        return print_json(session)
    show(tables.details(session, now))
    if placements:
        show(tables.placements(placements, now))
    return show(tables.events(events, now, title="latest events"))


@app.command()
def explain(session_id: SessionId, as_json: AsJson = False) -> None:
    """Explain a session's state, its next step, and every rule that may stop it."""
    from orchestrator.flows.reports.explain import explain as explanation_of

    policies = configured()
    with reading() as tx:
        now, session = tx.now(), found_session(tx, session_id)
        explanation = explanation_of(tx, session, policies.policy_for(session.provider), now)
    print_json(explanation) if as_json else show(*explained(explanation, now))


@app.command()
def endpoint(
    session_id: SessionId,
    lang: Annotated[Language | None, typer.Option(help="Print only this sample code.")] = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show the secret, if this machine has it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where a running session is reached, and sample code for it."""
    if lang is not None and (as_json or reveal):
        raise Misused("--lang prints sample code and nothing else: leave out --json and --reveal")
    with reading() as tx:
        found = endpoint_of(tx, session_id)
        samples = samples_of(tx, session_id, found)
    secret: dict[str, Any] = {"secret": revealed(found)} if reveal else {}
    if as_json:
        return print_json({**found, **secret, "samples": samples})
    if lang is not None:
        return print_text(samples[lang])
    ref = found["secret_ref"] or "none is needed"
    where = [("URL", found["url"]), ("model", found["model"]), ("auth", found["auth"])]
    show(pairs([*where, ("secret reference", ref), *secret.items()]))
    for language, code in samples.items():
        print_text(f"\n# {language}\n{code}")
    return None
