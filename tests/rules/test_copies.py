"""Copies are those of `dataclasses.replace`."""

import dataclasses
from typing import Any

import pytest

from orchestrator.rules.states import State
from orchestrator.rules.values import Account, Placement, Session
from orchestrator.rules.values.copies import from_values, replace
from tests.rules.builders import T0, a_session
from tests.store.stage import a_placement, an_account


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (a_session(), {}),
        (a_session(), {"state": State.STOPPED, "ended_at": T0, "revision": 7}),
        (a_placement(), {"handle": None, "due": None}),
        (an_account(), {"quota": {"max_sessions": None}}),
    ],
)
def test_a_copy_differs_in_what_is_named(
    value: Session | Placement | Account, changes: dict[str, Any]
) -> None:
    before = dataclasses.asdict(value)
    copy = replace(value, **changes)
    assert copy == dataclasses.replace(value, **changes)
    assert type(copy) is type(value)
    assert dataclasses.asdict(value) == before


def test_what_is_no_field_is_refused() -> None:
    wrong: Any = {"colour": "red"}
    with pytest.raises(TypeError, match="no field colour"):
        replace(a_session(), **wrong)


def test_a_value_is_made_from_all_its_fields_and_no_others() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Narrow:
        first: int

    @dataclasses.dataclass(frozen=True, slots=True)
    class Wide(Narrow):
        second: str

    assert from_values(Wide, [1, "two"]) == Wide(1, "two")
    with pytest.raises(TypeError, match="a Wide has 2 fields, not 1"):
        from_values(Wide, [1])


def test_a_value_that_is_checked_when_it_is_made_is_not_copied_without() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Checked:
        first: int

        def __post_init__(self) -> None:
            raise ValueError("not this one")

    with pytest.raises(TypeError, match=r"use dataclasses\.replace"):
        from_values(Checked, [1])


def test_a_value_without_slots_is_made_and_copied_too() -> None:
    @dataclasses.dataclass(frozen=True)
    class Plain:
        first: int
        second: str = "here"

    assert from_values(Plain, [1, "there"]) == Plain(1, "there")
    assert replace(Plain(1), first=2) == Plain(2)
