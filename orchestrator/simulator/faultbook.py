"""Which fault applies to which call."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrator.simulator.wire import Ask


@dataclass(frozen=True, kw_only=True)
class FaultRule:
    """A fault and the calls that it applies to; None matches everything."""

    id: str = ""
    name: str
    upstream: str | None = None
    key: str | None = None
    model: str | None = None
    session: str | None = None
    operation: str | None = None
    #: how often it may still happen; None: for ever
    times: int | None = None
    probability: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)
    used: int = 0

    def matches(self, ask: Ask) -> bool:
        plain = (
            (self.upstream, ask.upstream.name),
            (self.key, ask.key),
            (self.session, ask.session),
            (self.operation, ask.operation),
        )
        return all(mine in (None, theirs) for mine, theirs in plain) and self._matches_model(ask)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def _matches_model(self, ask: Ask) -> bool:
        if self.model is None or self.model == ask.model:
            return True
        meant = ask.upstream.model(self.model)
        return meant is not None and meant.id == ask.model


class FaultBook:
    """The fault rules. The oldest rule that matches is used, so "a 500, then a 429" is two rules used once each."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ids = itertools.count(1)
        self._rules: dict[str, FaultRule] = {}

    def add(self, rule: FaultRule) -> str:
        rule = replace(rule, id=f"fault-{next(self._ids)}")
        self._rules[rule.id] = rule
        return rule.id

    def remove(self, rule_id: str) -> bool:
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        self._rules.clear()

    def all(self) -> list[FaultRule]:
        return list(self._rules.values())

    def take(self, ask: Ask) -> FaultRule | None:
        """Return the fault of this call, and count one use of it."""
        rule = next((rule for rule in self._rules.values() if self._strikes(rule, ask)), None)
        if rule is not None:
            left = None if rule.times is None else rule.times - 1
            self._rules[rule.id] = replace(rule, times=left, used=rule.used + 1)
        return rule

    def _strikes(self, rule: FaultRule, ask: Ask) -> bool:
        if rule.times == 0 or not rule.matches(ask):
            return False
        return rule.probability >= 1 or self._rng.random() < rule.probability
