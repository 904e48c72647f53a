"""Each alert has a cause in the run of chaos; its rules differ from the shipped ones in their times alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.causes import CAUSES, NOT_IN_CHAOS
from tests.chaos.quick_rules import quick_expression, quickened
from tests.tools.promtool import RULES, alerts, promtool

_NUMBERS = re.compile(r"\d+(?:\.\d+)?(?:ms|[smhd])?\b")


def test_every_alert_has_one_cause_or_a_reason_why_it_can_have_none() -> None:
    caused = [alert for cause in CAUSES for alert in cause.alerts]
    assert sorted([*caused, *NOT_IN_CHAOS]) == sorted(alerts())
    assert all(NOT_IN_CHAOS.values())


def test_prometheus_accepts_the_shortened_rules(tmp_path: Path) -> None:
    file = tmp_path / "alerts.json"
    file.write_text(json.dumps(_quick()))  # JSON is YAML
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", file).stdout


def test_nothing_but_numbers_is_changed() -> None:
    changed = {rule["alert"]: rule for rule in _quick()["groups"][0]["rules"]}
    assert {name: _without_numbers(rule) for name, rule in changed.items()} == {
        name: _without_numbers(rule) for name, rule in alerts().items()
    }


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("max(a_seconds) > 600", "max(a_seconds) > 15", id="an age"),
        pytest.param("max(a_seconds) > 15", "max(a_seconds) > 15", id="a time that a run can wait for"),
        pytest.param(
            "sum(increase(a[10m])) >= 4", "sum(increase(a[30000ms])) >= 4", id="a window, and a count"
        ),
        pytest.param("a > 0.1 * b", "a > 0.1 * b", id="a share"),
    ],
)
def test_times_are_shortened_and_counts_are_not(expression: str, expected: str) -> None:
    assert quick_expression(expression) == expected


@pytest.mark.parametrize("alert", list(alerts()))
def test_only_limits_of_seconds_are_shortened(alert: str) -> None:
    expression = alerts()[alert]["expr"]
    limits = quick_expression(expression).replace("30000ms", "10m") != expression
    assert not limits or "_seconds" in expression


def _quick() -> dict[str, Any]:
    return quickened(yaml.safe_load(RULES.read_text()))


def _without_numbers(rule: dict[str, Any]) -> dict[str, Any]:
    times = {name: _NUMBERS.sub("N", rule[name]) for name in ("expr", "for") if name in rule}
    return rule | times
