"""Alerts are valid and tested at their bounds; each has a paragraph in docs/operations.md and a story that fires it."""

import re

import pytest

from tests.docs.test_pages import anchors_of
from tests.observability.stories import STORIES
from tests.tools import metrics as page
from tests.tools.promtool import ROOT, RULES, alerts, promtool

RULE_TESTS = RULES.with_name("alerts_test.yaml")


def test_every_alert_has_a_story_in_which_it_fires() -> None:
    assert {alert for alerts in STORIES.values() for alert in alerts} == set(alerts())


def test_prometheus_accepts_the_rules_and_their_tests() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES).stdout
    done = promtool("test", "rules", RULE_TESTS)
    assert (done.returncode, done.stdout + done.stderr) == (0, f"Unit Testing:  {RULE_TESTS}\n  SUCCESS\n\n")


def test_every_alert_has_a_test_of_its_bound() -> None:
    text = RULE_TESTS.read_text()
    assert [alert for alert in alerts() if f'"{alert}"' not in text] == []


def test_each_alert_has_one_heading_in_the_operations_page_and_names_it() -> None:
    operations = ROOT / "docs" / "operations.md"
    headings = re.findall(r"^### (Orchestrator\w+)$", operations.read_text(), re.MULTILINE)
    assert headings == list(dict.fromkeys(headings))
    assert set(headings) == set(alerts())
    for name, rule in alerts().items():
        place, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / place, anchor) == (operations, name.lower())
        assert anchor in anchors_of(operations)
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize("alert", list(alerts()))
def test_each_expression_names_metrics_and_labels_that_exist(alert: str) -> None:
    assert page.unknown_in(alerts()[alert]["expr"]) == []


def test_a_wrong_name_in_an_expression_is_found() -> None:
    assert page.unknown_in("sum by (provider) (orchestrator_pings)") == ["orchestrator_pings"]
    assert page.unknown_in('orchestrator_pings_total{model="x"}') == ["orchestrator_pings_total{model}"]
    assert page.unknown_in("max by (model) (orchestrator_pings_total)") == ["by (model)"]
    assert page.unknown_in("rate(orchestrator_ping_seconds_bucket[5m])") == []
