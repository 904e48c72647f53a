"""`jobs schema`: what other services send."""

import typer

from orchestrator.cli.shared.output import print_json

app = typer.Typer()


@app.callback()
def _jobs() -> None:
    pass


@app.command()
def schema() -> None:
    """Print the JSON Schema of every job's keyword arguments."""
    from orchestrator.client import schema as schema_of_jobs

    print_json(schema_of_jobs())
