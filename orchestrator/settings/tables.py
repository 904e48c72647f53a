"""Reading one TOML table: each key is taken once, every fault is kept, what is left over is unknown."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar

from orchestrator.rules.billing.money import parse_amount
from orchestrator.settings.faults import Fault

#: More of anything than one installation has.
LARGEST = 1_000_000_000
#: What a key's ending says of its unit, and the most of it: ten years.
_UNITS = {"_seconds": ("seconds", 315_360_000), "_days": ("days", 3_650)}


Default = TypeVar("Default")


@dataclass(kw_only=True)
class Table:
    """A table, its path and the list of faults that it shares with all others of the file."""

    path: str
    values: Mapping[str, Any]
    faults: list[Fault]
    taken: set[str] = field(default_factory=set)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, message: str) -> None:
        self.faults.append(Fault(self.at(key), message))

    def take(self, key: str) -> Any:
        """Return the raw value, or None where the key is left out (TOML itself has no null)."""
        self.taken.add(key)
        return self.values.get(key)

    def table(self, key: str) -> "Table":
        """Return the table below `key`; an empty one where it is left out or is no table."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            self.fault(key, f"must be a table ([{self.at(key)}])")
            value = None
        return Table(path=self.at(key), values=value or {}, faults=self.faults)

    def tables(self) -> Iterator[tuple[str, "Table"]]:
        """Yield every key as a table: [plans.*], [providers.*]."""
        for name in self.values:
            yield name, self.table(name)

    def text(self, key: str, default: str = "") -> str:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip():
            return value
        self.fault(key, "must be a text that is not empty")
        return default

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        self.fault(key, 'must be a list of texts (["a", "b"])')
        return default

    def whole(self, key: str, default: Default, *, least: int) -> int | Default:
        """Return a whole number; `default`, which may be None for "no limit", where it is left out or wrong."""
        found = self.number(key, default, least=least, whole=True)
        return int(found) if isinstance(found, int | float) else default

    def number(
        self, key: str, default: Default, *, least: float, most: float | None = None, whole: bool = False
    ) -> float | Default:
        """Return a number within bounds; `least` 0 allows zero, anything else is the smallest allowed. `most`: by
        default as the key's unit allows."""
        value = self.take(key)
        if value is None:
            return default
        problem = wrong_number(value, bounds_of(key, least, most), whole=whole)
        if problem:
            self.fault(key, problem)
            return default
        return float(value) if isinstance(value, float) else int(value)

    def money(self, key: str, default: Decimal) -> Decimal:
        """Return an amount, zero or more, as a text: TOML's fractions are not exact."""
        value = self.take(key)
        if value is None:
            return default
        amount = parse_amount(value) if isinstance(value, str) else None
        if amount is not None and amount >= 0:
            return amount
        self.fault(key, 'must be money: a decimal text such as "12.50", with at most 6 decimal places')
        return default

    def wholes(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, list):
            self.fault(key, "must be a list of whole numbers ([900, 300])")
            return default
        bounds = bounds_of(key, 1)
        problems = [(n, wrong_number(item, bounds, whole=True)) for n, item in enumerate(value)]
        self.faults += [Fault(f"{self.at(key)}[{n}]", problem) for n, problem in problems if problem]
        return default if any(problem for _, problem in problems) else tuple(value)

    def rest(self) -> dict[str, Any]:
        """Return every key that was not taken."""
        return {key: value for key, value in self.values.items() if key not in self.taken}

    def refuse_rest(self) -> None:
        """Call last: what was not taken is a mistake, most likely of spelling."""
        for key in self.rest():
            self.fault(key, f"unknown key{did_you_mean(key, self.taken)}")


def did_you_mean(word: str, known: Collection[str]) -> str:
    near: Sequence[str] = get_close_matches(word, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True, slots=True)
class NumberBounds:
    """The least and the most of a number, and what it counts where that is a span of time."""

    least: float
    most: float
    unit: str = ""

    def __str__(self) -> str:
        most = str(self.most) if isinstance(self.most, int) else f"{self.most:g}"
        return f"between {self.least:g} and {most} {self.unit}".rstrip()


def bounds_of(key: str, least: float, most: float | None = None) -> NumberBounds:
    """Return the bounds of a number by its key: a count, a share and a span have different ones."""
    unit, longest = next((of for end, of in _UNITS.items() if key.endswith(end)), ("", LARGEST))
    return NumberBounds(least, longest if most is None else most, unit)


def wrong_number(value: object, bounds: NumberBounds, *, whole: bool) -> str | None:
    """Return what is wrong with it, as a sentence; None where nothing is."""
    kind = "whole number" if whole else "number"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite {kind}, not {value}"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return f"must be a {kind}, not {_kind(value)}"
    if not bounds.least <= value <= bounds.most:
        return f"must be {bounds}"
    return None


def _kind(value: object) -> str:
    names = {bool: "true or false", str: "a text", list: "a list", dict: "a table", float: "a fraction"}
    return names.get(type(value), "this")
