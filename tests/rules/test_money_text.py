"""Money leaves in one format: no place in the code writes an amount in another way."""

import ast
import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.outcomes import plain
from orchestrator.rules import audit, billing, values
from orchestrator.rules.values.amounts import money_text

ROOT = Path(__file__).parents[2] / "orchestrator"
#: Calls that make a text of a value.
WRITERS = {"str", "repr", "format"}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("0.000000", "0.00"),
        ("-0.000000", "0.00"),
        ("1.5", "1.50"),
        ("1.500000", "1.50"),
        ("25", "25.00"),
        ("0.000125", "0.000125"),
        ("-3.1", "-3.10"),
        ("1E+3", "1000.00"),
        ("999999999999.999999", "999999999999.999999"),
    ],
)
def test_an_amount_has_two_places_or_as_many_more_as_it_needs(amount: str, text: str) -> None:
    assert money_text(Decimal(amount)) == plain({"amount": Decimal(amount)})["amount"] == text


def money_fields() -> set[str]:
    """Return the names of all fields of snapshots that hold money."""
    found = {"amount"}
    for package in (values, billing, audit):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for kind in vars(importlib.import_module(module.name)).values():
                if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                    hints = typing.get_type_hints(kind)
                    found |= {
                        name for name, hint in hints.items() if Decimal in (hint, *typing.get_args(hint))
                    }
    return found


def written(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield each value that the code writes into a text, as it is."""
    for node in ast.walk(tree):
        match node:
            case ast.FormattedValue(value=value):
                yield value
            case ast.Call(func=ast.Name(id=name), args=[value, *_]) if name in WRITERS:
                yield value


def name_of(value: ast.expr) -> str | None:
    match value:
        case ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Attribute(value=of, attr="quantize" | "normalize")):
            return name_of(of)
    return None


def test_snapshots_have_the_money_that_is_looked_for() -> None:
    assert {"balance", "charged", "price_per_node_hour", "max_cost", "cost_usd"} <= money_fields()


def test_no_place_writes_an_amount_in_a_format_of_its_own() -> None:
    names = money_fields()
    found: list[Any] = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(("simulator/", "store/core/")):  # the platforms' own formats; what rows hold
            continue
        for value in written(ast.parse(path.read_text(encoding="utf-8"))):
            name = name_of(value)
            if name in names:
                found.append(f"{place}:{value.lineno}: {ast.unparse(value)}")
    assert found == [], "write money by money_text"
