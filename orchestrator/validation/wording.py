"""What pydantic finds wrong, in plain words. No sentence repeats the value, which may be a secret."""

import math
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import AfterValidator
from pydantic_core import ErrorDetails, PydanticCustomError

UNKNOWN_KEY = "unknown key"

#: Pydantic's kinds of errors of type, without `_type` and `_parsing`, and the type that is expected.
_TYPES = {
    "int": "a whole number",
    "int_from_float": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
}
#: Its other kinds of errors, and their sentences.
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": UNKNOWN_KEY,
    "value_error": "{error}",
    "greater_than": "must be above {gt:.12g}",
    "greater_than_equal": "must be {ge:.12g} or more",
    "less_than": "must be below {lt:.12g}",
    "less_than_equal": "must be {le:.12g} or less",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
}
_GIVEN = {bool: "true or false", int: "a whole number", str: "a text", list: "a list", dict: "a table"}


def in_words(detail: ErrorDetails, *, table: str = "a table") -> str:
    """Return what is wrong with a value, and what it must be. `table`: what the format calls keys with values."""
    kind, context = detail["type"], detail.get("ctx", {})
    expected = _TYPES.get(kind.removesuffix("_type").removesuffix("_parsing"))
    match kind:
        case _ if "sentence" in context:
            return str(context["sentence"])
        case "literal_error" | "enum":
            return f"must be {context['expected']}".replace("'", '"')
        case "float_type" if type(detail["input"]) is int:
            return "must be a smaller number"
        case _ if expected:
            return f"must be {expected}, not {_given(detail['input'])}".replace("a table", table)
        case _ if kind in _SENTENCES:
            return _SENTENCES[kind].format(**context)
        case _:  # a driver's own, which says it in a sentence already
            return detail["msg"]


def did_you_mean(word: str, known: Collection[str], prefix: str = "") -> str:
    """Return the nearest known word as a suggestion; empty if none is near. `prefix`: what all have in common."""
    near = get_close_matches(word, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def wrong(sentence: str, kind: str = "wrong", names: Sequence[str] = ()) -> PydanticCustomError:
    """Return a fault for a validator to raise: its sentence, which repeats no value, and its kind for programs.
    Each `{}` of the sentence stands for one of `names`, which are other fields."""
    return PydanticCustomError(kind, "{sentence}", {"sentence": sentence, "names": names})


def where(holds: Callable[[Any], object], sentence: str, kind: str = "wrong") -> AfterValidator:
    """Return a validator that raises the sentence for a value of which `holds` is not true."""

    def checked(value: Any) -> Any:
        if not holds(value):
            raise wrong(sentence, kind)
        return value

    return AfterValidator(checked)


def checked_by(check: Callable[[str], str]) -> AfterValidator:
    """Return a validator of a function that raises ValueError with a sentence."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise wrong(str(error)) from None

    return AfterValidator(checked)


def _given(value: object) -> str:
    if isinstance(value, float):
        return "a fraction" if math.isfinite(value) else str(value)
    return "null" if value is None else _GIVEN.get(type(value), "a date or time")
