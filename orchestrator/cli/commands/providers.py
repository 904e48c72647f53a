"""`provider …`: the state of each, checks, and releasing a brake."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, REFUSED, Complaint
from orchestrator.cli.shared.known import PROVIDER, known
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_line, progress, show
from orchestrator.cli.shared.reading import reading
from orchestrator.cli.views import leftover_tables
from orchestrator.cli.views import provider_tables as tables

if TYPE_CHECKING:
    from orchestrator.flows.engine.services import Services

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="Its name in the configuration.", **known(PROVIDER))]


@app.callback()
def provider() -> None:
    """Show and check upstream platforms."""


@app.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """List providers with their credentials, brakes, and what pings cost. Secrets are looked up on this machine."""
    from orchestrator import wiring
    from orchestrator.flows.reports.provider_reports import known_of, reports
    from orchestrator.settings import load_settings

    settings = load_settings()
    configuration = wiring.read_configuration(settings)
    with reading() as tx:
        known = known_of(tx, wiring.secret_store(settings))
    providers = list(reports(configuration, known))
    print_json(providers) if as_json else show(*tables.listed(providers, known.now))


@app.command()
def check(name: Name, as_json: AsJson = False) -> None:
    """Try credentials, balance, models and one ping; says what works, what does not, and what to do."""
    from orchestrator.flows.operations.provider_check import check_provider

    with services_here() as services:
        if name not in services.drivers:
            raise unknown_provider(name, services)
        with progress(f"asking {name}"):
            tried = check_provider(services, name)
    print_json([asdict(one) for one in tried]) if as_json else show(tables.tried(tried))
    if any(one.works is False for one in tried):
        raise typer.Exit(REFUSED)


@app.command()
def orphans(
    name: Annotated[
        str | None, typer.Argument(help="Only of this provider.", **known(PROVIDER, must=True))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what is known to live at providers without a session; `session close` takes these ids too."""
    from orchestrator.flows.reports import leftovers

    with reading() as tx:
        found = leftovers.orphans(tx, tx.now(), name)
    print_json(found) if as_json else show(*leftover_tables.orphans(found))


@app.command("release-brake")
def release_brake(name: Name, as_json: AsJson = False) -> None:
    """Lift every brake of a provider and its credentials. Doubts there start over: dead sessions are found dead,
    and where most still fail, it brakes again."""
    from orchestrator.flows.upstream.brake import release_brakes

    with services_here() as services:
        lifted = release_brakes(services, name)
        if not lifted and name not in services.drivers:
            raise unknown_provider(name, services)
    if as_json:
        print_json({"provider": name, "released": lifted})
    else:
        print_line(f"{name}: {lifted} released" if lifted else f"{name}: no brake is active")


@contextmanager
def services_here() -> Iterator["Services"]:
    """Yield what flows need, built in this process. Raises StoreUnavailable."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    settings = load_settings()
    built = wiring.build(settings, wiring.read_configuration(settings), pool_size=1)
    try:
        built.services.database.check()
        yield built.services
    finally:
        built.close()


def unknown_provider(name: str, services: "Services") -> Complaint:
    names = ", ".join(sorted(services.drivers)) or "none is configured"
    message = f"provider {name} is unknown; known: {names}"
    return Complaint(message, NOT_FOUND, "unknown_provider", provider=name)
