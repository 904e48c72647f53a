"""What must hold of the costs by day: they are what the ledger's entries of that day add up to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from orchestrator.rules.audit.invariants import Invariant, Violation
from orchestrator.rules.values import ZERO
from orchestrator.rules.values.amounts import money_text

#: (currency, model, provider); None stands for all of them.
_Key = tuple[str, str | None, str | None]
_Sums = Mapping[_Key, tuple[Decimal, int]]


@dataclass(frozen=True, order=True, slots=True)
class CostDay:
    """One day in UTC of one account."""

    account_id: str
    day: date

    @property
    def subject(self) -> str:
        """Return the day as the subject of a violation."""
        return f"{self.account_id}/{self.day.isoformat()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargedSum:
    """Entries of sessions of one day, added up: charges less what was given back or written off."""

    currency: str
    model_id: str | None
    """None: not known any more."""
    provider: str | None
    """None: not known any more, or one of several that the sessions had."""
    amount: Decimal
    entries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CostDayFacts:
    """What was counted of one day of one account, and what the ledger and its archive have, read at one moment."""

    of: CostDay
    counted: Sequence[ChargedSum]
    posted: Sequence[ChargedSum]


def cost_day(subject: str) -> CostDay | None:
    """Return the day that the subject of a violation names; None if it names none."""
    account_id, slash, day = subject.rpartition("/")
    try:
        return CostDay(account_id, date.fromisoformat(day)) if slash else None
    except ValueError:
        return None


def judge_costs(facts: CostDayFacts) -> Iterator[Violation]:
    """Yield where the counted sums of a day differ from its entries: by model and provider, as far as the entries still
    say which."""
    counted, posted = _added_up(facts.counted, facts.posted), _added_up(facts.posted, facts.posted)
    for key in sorted(counted.keys() | posted.keys(), key=str):
        as_counted, as_posted = counted.get(key, (ZERO, 0)), posted.get(key, (ZERO, 0))
        if as_counted != as_posted:
            problem = f"{_text(as_counted)} counted{_of(key)}, the ledger has {_text(as_posted)}"
            yield Violation(Invariant.DAILY_COSTS, facts.of.subject, problem)


def _added_up(sums: Sequence[ChargedSum], posted: Sequence[ChargedSum]) -> _Sums:
    """Add up by the finest keys that distinguish the posted entries."""
    is_model_unknown = any(one.model_id is None for one in posted)
    vague = {one.model_id for one in posted if one.provider is None}
    found: dict[_Key, tuple[Decimal, int]] = defaultdict(lambda: (ZERO, 0))
    for one in sums:
        model = None if is_model_unknown else one.model_id
        provider = None if is_model_unknown or model in vague else one.provider
        amount, entries = found[one.currency, model, provider]
        found[one.currency, model, provider] = amount + one.amount, entries + one.entries
    return found


def _of(key: _Key) -> str:
    _, model, provider = key
    return (f" of model {model or '-'}" if model is not None else "") + (
        f" at {provider or '-'}" if provider is not None else ""
    )


def _text(sum_: tuple[Decimal, int]) -> str:
    amount, entries = sum_
    return f"{money_text(amount)} in {entries} {'entry' if entries == 1 else 'entries'}"
