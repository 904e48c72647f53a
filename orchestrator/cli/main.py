"""`orchestrator`: every command by its name. A command imports what it needs when it runs."""

import sys
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer

from orchestrator.cli import (
    accounts,
    audit,
    clock,
    events,
    messages,
    models,
    providers,
    reconciling,
    sessions,
    upkeep,
)
from orchestrator.cli.doctor import doctor
from orchestrator.cli.failures import REFUSED, ExplainingGroup
from orchestrator.cli.options import AsJson
from orchestrator.cli.output import finish_output, is_full, print_json, print_line, say
from orchestrator.observability import shared

app = typer.Typer(
    cls=ExplainingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it shows the values of variables, secrets among them
    help="Runs model sessions for a platform: creates, pings, stops and bills them.",
)
jobs = typer.Typer()

app.add_typer(sessions.app, name="session", help="What users asked for.", no_args_is_help=True)
app.add_typer(accounts.app, name="account", help="Who pays.", no_args_is_help=True)
app.add_typer(models.app, name="model", help="What can be served.", no_args_is_help=True)
app.add_typer(providers.app, name="provider", help="Upstream platforms.", no_args_is_help=True)
app.add_typer(clock.app, name="clock", help="The store's clock, and its jumps.", no_args_is_help=True)
app.add_typer(
    messages.app, name="messages", help="What cannot be carried out, and was parked.", no_args_is_help=True
)
app.add_typer(jobs, name="jobs", help="What other services may send.", no_args_is_help=True)


class PoolName(StrEnum):
    """The kinds of work."""

    CONTROL = "control"
    STOP = "stop"
    CLOSE = "close"
    OPEN = "open"
    PING = "ping"


def main() -> None:
    """Run the console script."""
    try:
        try:
            app(prog_name="orchestrator")
        finally:
            finish_output()
    except OSError as error:
        if not is_full(error):
            raise
        say(f"error: cannot write the output: {error.strerror}")
        sys.exit(REFUSED)


@app.callback()
def _orchestrator(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda wanted: _say_version(wanted=wanted))
    ] = False,
) -> None:
    pass


@app.command()
def up() -> None:
    """Run everything in one process tree, with a private Valkey where no broker is named."""
    _share_metrics()
    from orchestrator.cli.processes import run_up

    raise typer.Exit(run_up())


@app.command()
def worker(
    pool: Annotated[
        PoolName | None, typer.Option(help="Only this kind of work; all five by default.")
    ] = None,
) -> None:
    """Carry out jobs and wake-ups."""
    if pool is None:
        _share_metrics()
    from orchestrator.cli.processes import run_worker

    raise typer.Exit(run_worker(pool.value if pool else None))


def _share_metrics() -> None:
    """Share metrics among the processes of a tree, if a port is set. Call it before anything imports the library."""
    from orchestrator.settings import load_settings

    if load_settings().metrics_port is not None:
        shared.prepare()


@app.command()
def scheduler() -> None:
    """Send the wake-ups. A second one stands by."""
    from orchestrator.cli.processes import run_scheduler

    raise typer.Exit(run_scheduler())


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Play a session's life against simulated platforms."""
    from orchestrator.cli.demo.play import run_demo

    raise typer.Exit(run_demo(as_json))


for command in (
    upkeep.migrate,
    upkeep.apply,
    doctor,
    audit.audit,
    events.events,
    upkeep.simulator,
    reconciling.reconcile,
):
    app.command()(command)


@jobs.callback()
def _jobs() -> None:
    pass


@jobs.command()
def schema() -> None:
    """Print the JSON Schema of every job's keyword arguments."""
    from orchestrator.client import schema as schema_of_jobs

    print_json(schema_of_jobs())


def _say_version(*, wanted: bool) -> None:
    if wanted:
        print_line(f"orchestrator {version('session-orchestrator')}")
        raise typer.Exit
