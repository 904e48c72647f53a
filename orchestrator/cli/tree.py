"""Every command by its name. What a command is made of is imported when it is called or described."""

from collections.abc import Iterator, MutableMapping
from enum import StrEnum
from importlib import import_module
from inspect import cleandoc
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, cast

import typer

from orchestrator import __version__
from orchestrator.cli.shared.collecting import collect_often
from orchestrator.cli.shared.failures import ExplainingGroup
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_line, print_wide, say
from orchestrator.cli.shared.plain_values import read_plainly


class Location(NamedTuple):
    """Where a command is, or the commands of a noun: then with the help of the noun."""

    module: str
    name: str = "app"
    help: str | None = None


#: Nouns and commands that are imported when they are needed.
PLACES = MappingProxyType(
    {
        "init": Location("commands.init", "init"),
        "api": Location("commands.api", "api"),
        "migrate": Location("commands.upkeep", "migrate"),
        "apply": Location("commands.upkeep", "apply"),
        "doctor": Location("doctor", "doctor"),
        "top": Location("top", "top"),
        "audit": Location("commands.audit", "audit"),
        "events": Location("commands.events", "events"),
        "simulator": Location("commands.upkeep", "simulator"),
        "reconcile": Location("commands.reconciling", "reconcile"),
        "session": Location("commands.sessions", help="Create, show, extend and close sessions."),
        "account": Location("commands.accounts", help="Show, fund and change accounts."),
        "model": Location("commands.models", help="List and change models."),
        "provider": Location("commands.providers", help="Upstream platforms."),
        "clock": Location("commands.clock", help="The store's clock, and its jumps."),
        "messages": Location("commands.messages", help="List, drop and resend parked messages."),
        "costs": Location("commands.costs", help="What was spent, burns and is expected."),
        "token": Location("commands.tokens", help="Who may use the HTTP API."),
        "webhook": Location("commands.webhooks", help="Where events are sent to."),
        "policy": Location("commands.policy", help="What other rules would do to the fleet."),
        "config": Location("commands.configuration", help="What a file would change before a deploy."),
        "jobs": Location("commands.jobs", help="Print the schema of the jobs."),
    }
)


class Commands(MutableMapping[str, Any]):
    """Commands by their names, in the order of the help. One of `PLACES` is imported when it is asked for."""

    def __init__(self, known: MutableMapping[str, Any]) -> None:
        self._built: dict[str, Any] = {**known, **dict.fromkeys(PLACES)}

    def __getitem__(self, name: str) -> Any:
        built = self._built[name]
        if built is None:
            built = self._built[name] = _imported(name, PLACES[name])
        return built

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)


class LazyGroup(ExplainingGroup):
    """The root: its commands are imported one by one."""

    def __init__(self, *, commands: MutableMapping[str, Any], **attributes: Any) -> None:
        super().__init__(commands=cast(Any, Commands(commands)), **attributes)
        read_plainly(self)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names, and import nothing."""
        return list(self.commands)


def _imported(name: str, place: Location) -> Any:
    """Return the command of this name, as typer makes it."""
    found = getattr(import_module(f"orchestrator.cli.{place.module}"), place.name)
    holder = typer.Typer(add_completion=False)
    if place.help is None:
        holder.command(name)(found)
    else:
        does_something = found.registered_callback is not None  # without a command behind it
        holder.add_typer(found, name=name, help=place.help, no_args_is_help=not does_something)
    command = typer.main.get_group(holder).commands[name]
    for one in _all(command):
        read_plainly(one)
        one.help = _unwrapped(one.help)
    for leaf in _leaves(command):
        names = {option.name for option in leaf.params}
        if "as_json" in names and "no_wait" not in names:  # it shows tables
            leaf.params.append(_wide_option())
    return command


def _unwrapped(text: str | None) -> str | None:
    """Return a docstring with each paragraph as one line: typer keeps the line breaks of those that it lists."""
    if text is None:
        return None
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text).split("\n\n"))


def _all(command: Any) -> Iterator[Any]:
    """Yield the command and all below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _all(below)


def _leaves(command: Any) -> Iterator[Any]:
    """Yield the commands that do something: those without commands of their own, and a few of the others."""
    below = getattr(command, "commands", None)
    if below is None or command.invoke_without_command:
        yield command
    for one in (below or {}).values():
        yield from _leaves(one)


def _wide_option() -> Any:
    """Return the option `--wide`, as typer makes it. Its callback sets it, so no command takes it as an argument."""

    def shows(
        _wide: Annotated[
            bool,
            typer.Option(
                "--wide",
                help="Show all columns, however narrow the terminal is.",
                callback=lambda value: print_wide(wanted=value),
                expose_value=False,
            ),
        ] = False,
    ) -> None:
        pass

    holder = typer.Typer(add_completion=False)
    holder.command()(shows)
    [option] = typer.main.get_command(holder).params
    return option


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # it shows the values of variables, secrets among them
    help="Runs model sessions for a platform: creates, pings, stops and bills them.",
)


class PoolName(StrEnum):
    """The kinds of work."""

    CONTROL = "control"
    STOP = "stop"
    CLOSE = "close"
    OPEN = "open"
    PING = "ping"


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
    collect_often()
    _share_metrics()
    from orchestrator.processes.left_out import without_unused_parts

    with without_unused_parts():
        from orchestrator.processes.run import run_up

    raise typer.Exit(run_up(say))


@app.command()
def worker(
    pool: Annotated[
        PoolName | None, typer.Option(help="Only this kind of work; all five by default.")
    ] = None,
) -> None:
    """Carry out jobs and wake-ups."""
    collect_often()
    if pool is None:
        _share_metrics()
    from orchestrator.processes.left_out import without_unused_parts

    with without_unused_parts():
        from orchestrator.processes.run import run_worker

    raise typer.Exit(run_worker(pool.value if pool else None))


def _share_metrics() -> None:
    """Share metrics among the processes of a tree, if a port is set. Call it before anything imports the library."""
    from orchestrator.observability import shared
    from orchestrator.settings import load_settings

    if load_settings().metrics_port is not None:
        shared.prepare()


@app.command()
def scheduler() -> None:
    """Send the wake-ups. A second one stands by."""
    collect_often()
    from orchestrator.processes.left_out import without_unused_parts

    with without_unused_parts():
        from orchestrator.processes.run_scheduler import run_scheduler

    raise typer.Exit(run_scheduler())


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Play a session's life against simulated platforms."""
    from orchestrator.processes.extras import require_demo

    require_demo()
    from orchestrator.cli.demo.play import run_demo

    raise typer.Exit(run_demo(as_json))


def _say_version(*, wanted: bool) -> None:
    if wanted:
        print_line(f"orchestrator {__version__}")
        raise typer.Exit
