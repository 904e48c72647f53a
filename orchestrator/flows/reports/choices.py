"""Which models an account may choose from: each criterion with its mark, and why a model cannot be chosen."""

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.flows.reports import views
from orchestrator.rules.admission.eligibility import LEARNING_STAGE, ineligible_because, parse_size
from orchestrator.rules.values import Account, Model, ModelSource, ModelType
from orchestrator.settings import Configuration
from orchestrator.store.transaction import Transaction

#: The most models that are listed.
MOST_MODELS = 500


def choices(tx: Transaction, config: Configuration, account: Account) -> list[dict[str, Any]]:
    """Return the catalog and the account's private models, by id, those that can be chosen first."""
    found = tx.pages.models(MOST_MODELS, owner=account.id)
    tags = config.catalog_required_tags
    shown = [_choice(one, account, tags) for one in found]
    return sorted(shown, key=lambda one: bool(one["why_not"]))


def _choice(model: Model, account: Account, tags: Sequence[str]) -> dict[str, Any]:
    reasons = ineligible_because(model, account.id, tags)
    if model.currency != account.currency:
        reasons = [*reasons, f"it is priced in {model.currency}, the account pays in {account.currency}"]
    return views.of_model(model) | {"criteria": list(_criteria(model, account, tags)), "why_not": reasons}


def _criteria(model: Model, account: Account, tags: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield each criterion with its value, and whether it is met; None: it does not apply."""
    speaks = model.type is not ModelType.ASR
    yield _criterion("Type", model.type.value, fits=True)
    yield _criterion("Size", model.size, fits=bool(parse_size(model.size)) if speaks else None)
    stage = model.learning_stage.strip().casefold() == LEARNING_STAGE.casefold()
    yield _criterion("Learning stage", model.learning_stage, fits=stage if speaks else None)
    private = model.source is ModelSource.PRIVATE
    uploaded = "uploaded" if model.files_uploaded else "not uploaded"
    yield _criterion("Files", uploaded, fits=model.files_uploaded if private else None)
    has = all(tag in model.tags for tag in tags)
    yield _criterion("Tags", ", ".join(model.tags), fits=has if private else None)
    yield _criterion("Currency", model.currency, fits=model.currency == account.currency)


def _criterion(name: str, value: str, *, fits: bool | None) -> dict[str, Any]:
    return {"name": name, "value": value, "fits": fits}
