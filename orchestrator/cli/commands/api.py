"""`api`: serve the HTTP API and the console."""

from typing import Annotated

import typer

from orchestrator.cli.shared.collecting import collect_often


def api(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="The console shows everything and changes nothing.")
    ] = False,
) -> None:
    """Serve the HTTP API and the web console until stopped. Any number of these may run; they keep no state."""
    from orchestrator.processes.run import run_api

    collect_often()
    raise typer.Exit(run_api(read_only=read_only))
