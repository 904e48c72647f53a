"""The Grafana dashboard asks only for metrics that exist, and shows all of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from tests.tools import metrics as page
from tests.tools.promtool import ROOT, RULES

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
#: What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$provider": ".*"}


def panels() -> Iterator[dict[str, Any]]:
    """Yield each panel that shows something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> Iterator[str]:
    """Yield each query as Prometheus receives it."""
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            yield query


@pytest.mark.parametrize("query", list(queries()))
def test_each_query_is_promql_over_metrics_and_labels_that_exist(query: str) -> None:
    assert "$" not in query
    assert page.unknown_in(query) == []


def test_each_legend_names_labels_of_its_query() -> None:
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert named <= set(re.findall(r"\w+", target["expr"])) | {"instance"}, panel["title"]


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set[str]()

    def look(part: object) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            shown.add(str(part.name))

    for query in queries():
        promql_parser.walk(promql_parser.parse(query), look)
    assert [one.name for one in (*page.counted(), *page.gauges()) if not one.series & shown] == []


def test_the_variable_and_the_annotations_name_what_exists() -> None:
    [provider] = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", provider["query"]["query"]).groups()  # type: ignore[union-attr]
    assert label in page.series()[metric]
    [alerts] = DASHBOARD["annotations"]["list"]
    assert 'ALERTS{alertname=~"Orchestrator.*"' in alerts["expr"]
    assert "alert: Orchestrator" in RULES.read_text()


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
