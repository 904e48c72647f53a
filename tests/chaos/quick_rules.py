"""The alert rules with shorter times, so that a run of minutes can wait for each of them.

Expressions, labels and thresholds stay as they are, but for times, which a mechanical rule shortens:

* `for: 1h` → that time divided by `WAITS`.
* `[10m]` → that window divided by `WINDOWS`.
* `> 600` → that limit divided by `LIMITS`. Limits of a minute and more are ages in seconds; a smaller number is a
  count, a share, or a time that the run can wait for."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

#: By how much an alert waits less, and by how much windows, and limits of ages, are shorter.
WAITS, WINDOWS, LIMITS = 180, 20, 40
#: A limit of this many seconds or more is an age. Smaller numbers are not changed.
AGE = 60
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WINDOW = re.compile(r"\[(\d+[smhd])\]")
_LIMIT = re.compile(r"> (\d+)\b(?!\.)")


def quickened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule file with shorter times. `document`: as YAML has it."""
    return {"groups": [_quick_group(group) for group in document["groups"]]}


def quick_expression(expression: str) -> str:
    """Return an expression with shorter windows and limits of ages."""
    windows = _WINDOW.sub(lambda found: f"[{_divided(found[1], WINDOWS)}]", expression)
    return _LIMIT.sub(lambda found: f"> {_quick_limit(int(found[1])):g}", windows)


def _quick_group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {**group, "rules": [_quick_rule(rule) for rule in group["rules"]]}


def _quick_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    waits = {"for": _divided(rule["for"], WAITS)} if "for" in rule else {}
    return {**rule, "expr": quick_expression(rule["expr"]), **waits}


def _quick_limit(limit: int) -> float:
    return limit / LIMITS if limit >= AGE else limit


def _divided(duration: str, factor: int) -> str:
    """Return `duration`, such as `10m`, divided, in milliseconds."""
    whole = timedelta(seconds=int(duration[:-1]) * _UNITS[duration[-1]])
    return f"{round(whole / factor / timedelta(milliseconds=1))}ms"
