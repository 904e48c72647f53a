"""`api`: serve the HTTP API and the console."""

from typing import Annotated

import typer


def api(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="The console shows everything and changes nothing.")
    ] = False,
) -> None:
    """Serve the HTTP API and the web console until stopped. Any number of these may run; they keep no state."""
    from orchestrator.processes.run import run_api

    raise typer.Exit(run_api(read_only=read_only))
