"""The examples of the README work together, and numbers of pages are those of the code and of the benchmarks."""

import json
import re
import tomllib
from pathlib import Path

from orchestrator.tasks.pools import POOLS

ROOT = Path(__file__).parents[2]


def test_the_simulated_platforms_offer_every_model_that_the_catalog_sells_there() -> None:
    catalog = tomllib.loads((ROOT / "deploy" / "catalog.toml").read_text())
    upstreams = json.loads((ROOT / "deploy" / "simulator.json").read_text())["upstreams"]
    sold = {
        (provider, id_there)
        for model in catalog["models"]
        for provider, id_there in (
            model.get("provider_model_ids") or {model["provider"]: model["provider_model_id"]}
        ).items()
    }
    assert len(sold) > 3
    assert {(name, model) for name, one in upstreams.items() for model in one["models"]} >= sold


def test_the_page_on_sizing_has_the_figures_that_are_kept() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text()
    figures = (ROOT / "docs" / "benchmarks" / "figures.md").read_text()
    measured = {
        "209 a CPU-second": "creates per CPU-s 209;",
        "1,769 a CPU-second": "| 1,769 /CPU-s |",
        "963 a CPU-second": "| 963 /CPU-s |",
        "12,275 a CPU-second": "| 12,275 /CPU-s |",
        "36,806 over 50": "| 36,806 /CPU-s |",
        "258 MiB": "worker tree, MiB 258;",
        "68 MiB": "scheduler, MiB 67.7;",
    }
    assert {text: text in page for text in measured} == dict.fromkeys(measured, True)
    assert {text: kept in figures for text, kept in measured.items()} == dict.fromkeys(measured, True)
    derived = re.findall(r"^\| ([\d,]+0) \| ([\d,]+) \| (\d+) \| \d+ \| [\d.]+ \|", figures, re.MULTILINE)
    shown = re.findall(r"^\| ([\d,]+0) \| ([\d,]+) \| .* \| (\d+) \| [\d.]+ \| \d", page, re.MULTILINE)
    assert len(derived) == 3
    assert shown == derived


def test_a_pooler_is_given_room_for_the_connections_of_a_worker() -> None:
    most = sum(2 * pool.connections for pool in POOLS.values())
    page = (ROOT / "docs" / "deploying.md").read_text()
    assert re.findall(r"(\d+) in all\. A scheduler|`max_client_conn` \| (\d+) for", page) == [
        (str(most), ""),
        ("", str(most)),
    ]
