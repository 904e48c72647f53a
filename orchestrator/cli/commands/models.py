"""`model list|put`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.shared.documents import read_toml
from orchestrator.cli.shared.fitting import Column, Forms
from orchestrator.cli.shared.known import ACCOUNT, PROVIDER, known
from orchestrator.cli.shared.options import AsJson, given
from orchestrator.cli.shared.output import print_json, show
from orchestrator.cli.shared.reading import reading
from orchestrator.cli.shared.sending import Json, sends
from orchestrator.cli.shared.spans import seconds_of
from orchestrator.cli.shared.tables import pairs, table
from orchestrator.cli.shared.usage import Misused

app = typer.Typer()

_COLUMNS = (
    Column("id", whole=True),
    Column("type"),
    Column("size", rank=2),
    Column("stage", rank=4),
    Column("source", rank=5),
    Column("providers", rank=1),
    Column("node-hour"),
    Column("limits", rank=3),
)


def _show_model(model: Json) -> None:
    show(pairs((name.replace("_", " "), _shown(value)) for name, value in model.items()))


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the catalog, and the private models."""
    from orchestrator.flows.reports import views

    with reading() as tx:
        models = [views.of_model(model) for model in tx.models.listed()]
    print_json(models) if as_json else show(table(_COLUMNS, [_row(model) for model in models]))


@app.command()
@sends("model.put", _show_model)
def put(  # the fields of [[models]], one option each
    model_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    file: Annotated[Path | None, typer.Option(help="Its fields as TOML, instead of the options.")] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Repeat it in order of preference.", **known(PROVIDER))
    ] = None,
    provider_model_id: Annotated[str | None, typer.Option(help="Its id at every provider.")] = None,
    id_at: Annotated[
        list[str] | None, typer.Option(metavar="PROVIDER=ID", help="Its id at one provider.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--type", help="LLM, VLM or ASR.")] = None,
    size: Annotated[str | None, typer.Option(help="The number of its parameters, such as 8B.")] = None,
    learning_stage: Annotated[str | None, typer.Option(help="Such as Instruction-tuned.")] = None,
    source: Annotated[str | None, typer.Option(help="catalog or private.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="The account that a private model belongs to.", **known(ACCOUNT))
    ] = None,
    files_uploaded: Annotated[bool | None, typer.Option("--files-uploaded", show_default=False)] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    price: Annotated[str | None, typer.Option("--price-per-node-hour", help="Such as 1.20.")] = None,
    currency: Annotated[str | None, typer.Option(help="The price's currency, such as USD.")] = None,
    max_duration: Annotated[int | None, typer.Option(parser=seconds_of, metavar="TIME")] = None,
    max_interactions: Annotated[int | None, typer.Option()] = None,
) -> Json:
    """Add a model, or change it. Sessions that were admitted keep the terms of their admission."""
    who = given(id=model_id, type=kind, size=size, learning_stage=learning_stage, source=source, owner=owner)
    served = _providers(provider or []) | given(provider_model_id=provider_model_id)
    called = given(provider_model_ids=_ids_at(id_at or []), files_uploaded=files_uploaded, tags=tag)
    price_of = given(price_per_node_hour=price, currency=currency)
    limits = given(max_duration_seconds=max_duration, max_interactions=max_interactions)
    fields = who | served | called | price_of | limits
    if file is not None:
        return _from_file(file, fields)
    if not provider:
        raise Misused("--provider is missing: name the providers that serve it, in order of preference")
    return fields


def _from_file(file: Path, fields: Json) -> Json:
    """Return the fields of one model, from the top of the file or from its only [[models]]."""
    if fields:
        raise typer.BadParameter("give either the file or the fields", param_hint="--file")
    document = read_toml(file)
    models = document.get("models", [document])
    if not isinstance(models, list) or len(models) != 1 or not isinstance(models[0], dict):
        raise typer.BadParameter(
            "the file holds several models, and put takes one; `orchestrator apply` takes many",
            param_hint="--file",
        )
    model: Json = models[0]
    return model


def _providers(names: list[str]) -> Json:
    return given(provider=names[0]) if len(names) == 1 else given(providers=names)


def _ids_at(entries: list[str]) -> Json:
    pairs_given = [entry.partition("=") for entry in entries]
    if not all(mark for _, mark, _ in pairs_given):
        raise typer.BadParameter("write PROVIDER=ID", param_hint="--id-at")
    return {provider: model_id for provider, _, model_id in pairs_given}


def _row(model: Json) -> tuple[Any, ...]:
    limits = given(s=model["max_duration_seconds"], interactions=model["max_interactions"])
    owner = f" of {model['owner']}" if model["owner"] else ""
    return (
        model["id"],
        model["type"],
        model["size"],
        model["learning_stage"],
        model["source"] + owner,
        _all_or_number(model["providers"]),
        f"{model['price_per_node_hour']} {model['currency']}",
        ", ".join(f"{count} {unit}" for unit, count in limits.items()),
    )


def _all_or_number(providers: list[str]) -> Forms:
    """Return all providers; where they find no room, the first, and how many follow."""
    more = f" +{len(providers) - 1}" if len(providers) > 1 else ""
    return Forms([", ".join(providers), f"{providers[0]}{more}"] if providers else [""])


def _shown(value: Any) -> Any:
    match value:
        case list():
            return ", ".join(value)
        case dict():
            return ", ".join(f"{name} = {called}" for name, called in value.items())
        case bool():
            return "yes" if value else None
        case _:
            return value
