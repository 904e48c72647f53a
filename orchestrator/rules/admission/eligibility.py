"""Which models can be lent out at all, and which accounts may use them."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import assert_never

from orchestrator.rules.values import Model, ModelSource, ModelType

#: The only learning stage that answers a chat.
LEARNING_STAGE = "Instruction-tuned"

_SIZE = re.compile(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?|\.\d+)\s*([KMBT]?)", re.ASCII | re.IGNORECASE)
_UNITS = {
    "": Decimal(1),
    "K": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "B": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
}


def ineligible_because(model: Model, account_id: str, required_tags: Sequence[str]) -> list[str]:
    """Return every reason why `account_id` cannot use `model`, as sentences; empty if it can."""
    return [*_of_its_kind(model), *_of_its_source(model, account_id, required_tags)]


def parse_size(text: str) -> Decimal | None:
    """Return the number of parameters of a size as people write it (`8B`, `0.5b`, `8x7B`); None for any other text."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    experts, number, unit = match.groups()
    return Decimal(experts or 1) * Decimal(number) * _UNITS[unit.upper()]


def _of_its_kind(model: Model) -> Iterator[str]:
    match model.type:
        case ModelType.LLM | ModelType.VLM:
            yield from _of_size_and_stage(model)
        case ModelType.ASR:
            return  # speech models have neither
        case unknown:
            assert_never(unknown)


def _of_size_and_stage(model: Model) -> Iterator[str]:
    if not parse_size(model.size):
        yield f"its size {model.size!r} is not a positive parameter count such as 8B"
    if model.learning_stage.strip().casefold() != LEARNING_STAGE.casefold():
        yield f"its learning stage is {model.learning_stage!r}, it must be {LEARNING_STAGE}"


def _of_its_source(model: Model, account_id: str, required_tags: Sequence[str]) -> Iterator[str]:
    match model.source:
        case ModelSource.CATALOG:
            return  # open to every account
        case ModelSource.PRIVATE:
            yield from _of_privacy(model, account_id, required_tags)
        case unknown:
            assert_never(unknown)


def _of_privacy(model: Model, account_id: str, required_tags: Sequence[str]) -> Iterator[str]:
    if model.owner != account_id:
        yield "it is private to another account"
    if not model.files_uploaded:
        yield "its files are not uploaded yet"
    missing = [tag for tag in required_tags if tag not in model.tags]
    if missing:
        yield f"it lacks the tags {', '.join(missing)}"
