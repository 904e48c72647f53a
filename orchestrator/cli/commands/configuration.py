"""`config diff`: what a whole file would change before it is deployed. Nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.commands.policy import Account, Shown, print_report
from orchestrator.cli.shared.documents import read_toml
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import progress, say
from orchestrator.cli.shared.reading import configured, found_account, reading

if TYPE_CHECKING:
    from orchestrator.rules.values import Model
    from orchestrator.settings import Configuration
    from orchestrator.store.transaction import Transaction

#: What is compared of a model.
_OF_MODELS = ("price_per_node_hour", "max_duration_seconds", "max_interactions")
app = typer.Typer()


@app.callback()
def _config() -> None:
    """Compare configuration files."""


@app.command("diff")
def diff(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An orchestrator.toml that is to be deployed.")
    ],
    account: Account = None,
    limit: Shown = 20,
    as_json: AsJson = False,
) -> None:
    """Show what differs between the configuration in use and FILE, and what FILE would do to the fleet: as `policy try`
    does. Its models are compared with those that are known. Changes nothing."""
    from orchestrator.flows.reports.policy_trial import facts_of, trial
    from orchestrator.settings.changes import differences, flat

    document = read_toml(file)
    current, other = configured(), _read(file)
    with progress("reading sessions and events …"):
        with reading() as tx:
            if account is not None:
                found_account(tx, account)
            models = _models(tx, document, other)
            facts = facts_of(tx, account)
            left_out = sorted(
                tx.due_work.providers_of_live_rows() & {*current.providers} - {*other.providers}
            )
        of_models = [*_of_models(models)]
        prices = {
            one.id: price
            for one, entry in models
            if one and (price := _price(entry)) != one.price_per_node_hour
        }
        report = {**trial(facts, current, other, prices), "left_out_providers": left_out}
    if left_out and not as_json:
        say(
            f"{file} leaves out {', '.join(left_out)}, which still has live sessions or placements: no worker "
            "would ping or close"
            " them. Keep it (all its keys may be `retired = true`) until they are closed"
        )
    print_report(differences(flat(current), flat(other)) + of_models, report, limit, as_json=as_json)


def _read(file: Path) -> "Configuration":
    """Return the configuration in a file. Raises ConfigurationError with every fault, each with the file's name: the
    one in use may have faults too."""
    from orchestrator import wiring
    from orchestrator.settings import ConfigurationError, load_settings
    from orchestrator.settings.faults import Fault

    settings = load_settings().model_copy(update={"config": file})
    try:
        return wiring.read_configuration(settings)
    except ConfigurationError as error:
        faults = [Fault((f"{file}: {one.path}",), one.message) for one in error.faults]
        raise ConfigurationError(faults) from None


def _models(
    tx: "Transaction", document: Mapping[str, Any], configuration: "Configuration"
) -> Sequence[tuple["Model | None", Mapping[str, Any]]]:
    """Return the file's models, each with what is known of it; None: it is new."""
    from orchestrator.flows.jobs.catalog_file import read_catalog_file

    entries = read_catalog_file(document, configuration).models
    return [(tx.models.get(entry["id"]), entry) for entry in entries]


def _of_models(models: Sequence[tuple["Model | None", Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    for known, entry in models:
        for key in _OF_MODELS:
            old = getattr(known, key) if known else None
            new = _price(entry) if key == "price_per_node_hour" else entry.get(key)
            if old != new:
                yield {"key": f"models.{entry['id']}.{key}", "old": _text(old), "new": _text(new)}


def _price(entry: Mapping[str, Any]) -> Decimal:
    return Decimal(str(entry["price_per_node_hour"]))


def _text(value: Any) -> Any:
    from orchestrator.flows.reports.views import as_text

    return as_text(value) if isinstance(value, Decimal) else value
