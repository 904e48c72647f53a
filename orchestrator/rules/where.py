"""Which sessions are meant: `provider=gw and idle>1h`.

    where:     condition ("and" condition)*
    condition: field operator value | "unproven"
    field:     state account provider model name age idle cost unproven
    operator:  = != < > <= >=

`age` and `idle` are durations (`90s`, `1h30m`), `cost` is money. A value with spaces is in double quotes. There
is no `or`: two commands do that."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from orchestrator.rules.billing.money import cost_by, parse_amount
from orchestrator.rules.durations import parse_duration
from orchestrator.rules.states import State
from orchestrator.rules.values import Session

#: Characters of a text, and conditions in it.
LONGEST_WHERE, MOST_CONDITIONS = 1_000, 20
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_TOKEN = re.compile(r'\s*(?:(?P<operator>[<>!]=|[=<>])|"(?P<quoted>[^"]*)"|(?P<word>[^\s<>=!"]+))')
#: What no database keeps, so that none can be asked for it.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TEXTS = ("account", "provider", "model", "name")
_NUMBERS = ("age", "idle", "cost")
FIELDS = ("state", *_TEXTS, *_NUMBERS, "unproven")
_STATES: Mapping[str, State] = {state.value: state for state in State}
_BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}


class WhereFault(Exception):
    """What is wrong, and at which character it begins (from 1)."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"at character {position}: {message}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition."""

    field: str
    operator: str
    value: Any

    def holds(self, session: Session, at: datetime) -> bool:
        """Return whether the session meets it, as of `at`. What a session does not have meets nothing."""
        if self.field == "unproven":
            return True  # rows of placements say so: the query has checked them
        value = _value(session, self.field, at)
        return value is not None and _OPERATORS[self.operator](value, self.value)


@dataclass(frozen=True, slots=True)
class Where:
    """All conditions must hold."""

    conditions: Sequence[Condition] = ()

    def holds(self, session: Session, at: datetime) -> bool:
        """Return whether the session is meant. Ages are those as of `at`."""
        return all(condition.holds(session, at) for condition in self.conditions)

    def exactly(self, field: str) -> Any:
        """Return the value that this field must have; None if it may have others."""
        mine = [one.value for one in self.conditions if (one.field, one.operator) == (field, "=")]
        return mine[0] if mine else None

    @property
    def is_unproven(self) -> bool | None:
        """Whether the sessions must have a close without proof; None: that is not said."""
        said = [one.value is (one.operator == "=") for one in self.conditions if one.field == "unproven"]
        return said[0] if said else None


def parse_where(text: str) -> Where:
    """Return the conditions. Raises WhereFault."""
    if len(text) > LONGEST_WHERE:
        raise WhereFault(f"the text has more than {LONGEST_WHERE} characters", LONGEST_WHERE + 1)
    unstorable = _UNSTORABLE.search(text)
    if unstorable:
        raise WhereFault("a NUL character or half a surrogate pair", unstorable.start() + 1)
    tokens = _Tokens(text)
    found = [_condition(tokens)]
    while not tokens.is_over:
        tokens.needs_and()
        begin = tokens.position
        found.append(_condition(tokens))
        if [one.field for one in found].count("unproven") > 1:
            raise WhereFault("unproven is given twice", begin)
    if len(found) > MOST_CONDITIONS:
        raise WhereFault(f"there are more than {MOST_CONDITIONS} conditions", len(text))
    return Where(tuple(found))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


class _Tokens:
    """The tokens of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._found = list(_tokens(text))
        self._end = len(text) + 1
        self._next = 0

    @property
    def is_over(self) -> bool:
        return self._next >= len(self._found)

    @property
    def position(self) -> int:
        return self._end if self.is_over else self._found[self._next].position

    def take(self, wanted: str, *kinds: str) -> _Token:
        """Return the next token, which must be of one of these kinds. Raises WhereFault."""
        if self.is_over:
            raise WhereFault(f"{wanted} is missing", self._end)
        token = self._found[self._next]
        if token.kind not in kinds:
            raise WhereFault(f"expected {wanted}, not {token.text!r}", token.position)
        self._next += 1
        return token

    def is_operator_next(self) -> bool:
        """Return whether an operator follows."""
        return not self.is_over and self._found[self._next].kind == "operator"

    def needs_and(self) -> None:
        """Take the word `and`. Raises WhereFault."""
        token = self.take("`and`", "word")
        if token.text.lower() != "and":
            raise WhereFault(f"expected `and`, not {token.text!r}", token.position)


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            begin = at + len(text[at:]) - len(text[at:].lstrip())
            raise WhereFault(f"{text[begin]!r} is unexpected", begin + 1)
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1)
        at = match.end()


def _condition(tokens: _Tokens) -> Condition:
    field = tokens.take("a field", "word")
    if field.text not in FIELDS:
        near = get_close_matches(field.text, FIELDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FIELDS)}"
        raise WhereFault(f"{field.text!r} is not a field; {hint}", field.position)
    if field.text == "unproven" and not tokens.is_operator_next():
        return Condition("unproven", "=", True)  # noqa: FBT003
    sign = tokens.take(f"an operator ({' '.join(_OPERATORS)})", "operator")
    if sign.text not in {"=", "!="} and field.text not in _NUMBERS:
        raise WhereFault(f"{field.text} can only be compared with = or !=", sign.position)
    value = tokens.take("a value", "word", "quoted")
    return Condition(field.text, sign.text, _read(field.text, value))


def _read(field: str, token: _Token) -> Any:
    """Return the value as the field has it. Raises WhereFault."""
    if field in _TEXTS:
        return token.text
    readers: Mapping[str, tuple[Callable[[str], Any], str]] = {
        "state": (_STATES.get, f"one of {', '.join(State)}"),
        "unproven": (_BOOLEANS.get, "true or false"),
        "cost": (parse_amount, "money such as 12.50"),
    }
    read, expected = readers.get(field, (parse_duration, "a duration such as 90s or 1h30m"))
    value = read(token.text)
    if value is None:
        raise WhereFault(f"{field} must be {expected}, not {token.text!r}", token.position)
    return value


def _value(session: Session, field: str, at: datetime) -> str | float | Decimal | None:
    match field:
        case "state":
            return session.state
        case "account":
            return session.account_id
        case "provider":
            return session.provider
        case "model":
            return session.model_id
        case "name":
            return session.name
        case "cost":
            return cost_by(session, at)
        case "age":
            return (at - session.created_at).total_seconds()
        case _:
            return _idle(session, at)


def _idle(session: Session, at: datetime) -> float | None:
    """Return the seconds since a running session was used, or began to run."""
    if session.running_since is None:
        return None
    used = max(session.running_since, session.last_interaction_at or session.running_since)
    return (at - used).total_seconds()
