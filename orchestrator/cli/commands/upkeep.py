"""`migrate`, `apply` and `simulator`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.documents import read_toml
from orchestrator.cli.shared.failures import REFUSED, WRONG, Complaint, refusal_lines
from orchestrator.cli.shared.fitting import ALL_LINES, Column
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_line, say, show
from orchestrator.cli.shared.tables import coloured, table

if TYPE_CHECKING:
    from orchestrator.flows.jobs.apply_catalog import Change

_COLOURS = {"added": "green", "changed": "yellow", "unchanged": "dim", "refused": "red"}
_CHANGES = (Column("id", whole=True), Column("what"), Column(""), Column("", prose=ALL_LINES))


def migrate() -> None:
    """Bring the database to the newest schema, and print its revision. Safe to run again, and while workers of the
    previous release work."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings
    from orchestrator.store import migrate as migrations

    database = wiring.open_database(load_settings(), pool_size=1)
    try:
        database.check_reachable()
        before = migrations.revision_of(database)
        after = migrations.upgrade(database, say=say)
        say(_what_was_done(before, after))
        print_line(after)
    finally:
        database.dispose()


def _what_was_done(before: str | None, after: str) -> str:
    if before == after:
        return f"the database was at revision {after} already: nothing to do"
    return f"migrated from {f'revision {before}' if before else 'an empty database'} to revision {after}"


def apply(
    file: Annotated[Path, typer.Argument(help=r"TOML with \[\[models]] and \[\[accounts]].")],
    as_json: AsJson = False,
) -> None:
    """Add or change models and accounts; again, it changes nothing."""
    from orchestrator import wiring
    from orchestrator.flows.jobs.apply_catalog import apply_catalog
    from orchestrator.flows.jobs.catalog_file import read_catalog_file
    from orchestrator.settings import load_settings

    settings = load_settings()
    configuration = wiring.read_configuration(settings)
    catalog = read_catalog_file(read_toml(file), configuration)
    built = wiring.build(settings, configuration, pool_size=1)
    try:
        built.services.database.check()
        changes = apply_catalog(built.services, catalog)
    finally:
        built.close()
    if not changes:
        say(f"{file} has neither [[models]] nor [[accounts]]: nothing was applied")
    print_json([change.as_json() for change in changes]) if as_json else _show_changes(changes)
    _complain(changes)


def simulator(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 0,
    preload: Annotated[Path | None, typer.Option(help="Upstreams and faults as JSON.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written once the server listens.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Permit another host than loopback.")
    ] = False,
) -> None:
    """Serve simulated platforms, to try things out against."""
    from orchestrator.simulator import BadInput, run

    try:
        run(host, port, preload, ready_file, allow_remote=allow_remote)
    except BadInput as wrong:
        raise Complaint(_in_words(wrong.payload), WRONG) from None
    except OSError as wrong:
        raise Complaint(f"the simulator cannot start: {wrong}") from None


def _show_changes(changes: Sequence["Change"]) -> None:
    if not changes:
        return
    rows = [(c.id, c.kind, coloured(c.change, _COLOURS[c.change]), c.note) for c in changes]
    show(table(_CHANGES, rows))


def _complain(changes: Sequence["Change"]) -> None:
    """Print every refusal on stderr; exit code 1 where there was one."""
    refused = [(change, change.error) for change in changes if change.error is not None]
    for change, error in refused:
        message = f"{change.kind} {change.id}: {error['message']}"
        for line in refusal_lines(error["code"], message, error["details"]):
            say(line)
    if refused:
        raise typer.Exit(REFUSED)


def _in_words(payload: dict[str, Any]) -> str:
    more = [f"{key}: {value}" for key, value in payload.items() if key != "error"]
    return "; ".join([str(payload["error"]), *more])
