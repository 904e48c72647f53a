"""The page of costs: what was spent, burns and is expected, as the API says, and to each person only their own."""

import html
import re

import pytest

from orchestrator.flows.reports import costs
from orchestrator.rules.values import Scope
from tests.console.stage import Person, Stage
from tests.world import MINUTE


@pytest.fixture
def reader(site: Stage) -> Person:
    """Return a person who sees all accounts, of which two have spent something."""
    world = site.world
    world.open_account("globex")
    for account_id in ("acme", "globex", "globex"):
        session_id = world.run_session(account_id=account_id, stop={"max_duration_seconds": 7200})
    world.pass_time(2 * MINUTE)
    for one in (world.run_session(), session_id):
        site.post(f"/sessions/{one}/close")
    world.settle()
    return site.person(Scope.READ)


def rows(page: str) -> list[list[str]]:
    """Return the texts of the cells of each row below the head."""
    cells = [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", one, re.DOTALL)
        for one in re.findall("<tr>.*?</tr>", page, re.DOTALL)
    ]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells[1:]]


def shown(line: dict[str, str]) -> list[str]:
    """Return the amounts of a line as the page shows them."""
    names = ("spent", "not_yet_charged", "burning_per_hour", "expected")
    return [f"{line[name]} {line['currency']}" for name in names]


def test_costs_are_shown_by_account_with_totals_and_links(site: Stage, reader: Person) -> None:
    page = reader.page("/costs")
    found = site.get("/costs")
    assert len(found["items"]) == 2
    assert [row[1:] for row in rows(page)] == [shown(one) for one in (*found["items"], *found["totals"])]
    assert [row[0].split()[0] for row in rows(page)] == [*(one["key"] for one in found["items"]), "Total"]
    assert '<a href="/accounts/globex">globex</a>' in page
    assert f'href="/costs?by=model&amp;account=globex&amp;since={found["since"]}"' in page
    assert '<a href="/costs" aria-current="page">Costs</a>' in page
    assert 'href="/costs?by=model&amp;account=acme"' in reader.page("/accounts/acme")


@pytest.mark.parametrize(
    ("by", "linked"), [("model", "/sessions?model=llama&amp;account=acme"), ("provider", "/providers/alpha")]
)
def test_costs_are_added_up_by_what_is_chosen(site: Stage, reader: Person, by: str, linked: str) -> None:
    page = reader.page(f"/costs?by={by}&account=acme&since=2026-01-01")
    [line] = site.get("/costs", by=by, account="acme", since="2026-01-01")["items"]
    assert f'<option value="{by}" selected>' in page
    assert rows(page)[0] == [line["key"], *shown(line)]
    assert f'<a href="{linked}">{line["key"]}</a>' in page


def test_days_have_what_was_spent_and_totals_have_what_is_expected(site: Stage, reader: Person) -> None:
    page = reader.page("/costs?by=day&account=&since=")
    found = site.get("/costs", by="day")
    assert rows(page) == [
        [one["key"] or "Total", shown(one)[0]] for one in (*found["items"], *found["totals"])
    ]
    assert f"<dt>Expected</dt><dd>{shown(found['totals'][0])[3]}</dd>" in page


def test_what_cannot_be_answered_is_said(site: Stage, reader: Person) -> None:
    for query, said in (
        ("since=2999-01-01", "in the future"),
        ("since=yesterday", "such as 2026-01-31"),
        ("by=hour", "query.by"),
    ):
        assert said in html.unescape(reader.page(f"/costs?{query}", 422))
    assert "nobody" in reader.page("/costs?account=nobody", 404)
    site.world.open_account("quiet")
    assert "Nothing was charged, and nothing runs." in reader.page("/costs?account=quiet")


def test_a_token_of_one_account_sees_its_own_costs_by_model(site: Stage, reader: Person) -> None:
    person = site.person(Scope.READ, account="globex")
    page = person.page("/costs")
    [line] = site.get("/costs", by="model", account="globex")["items"]
    assert rows(page) == [["llama", *shown(line)], ["Total", *shown(line)]]
    assert "acme" not in page
    assert 'name="account"' not in page
    assert "/providers/" not in person.page("/costs?by=provider")
    assert person.http.get("/costs?account=acme").status_code == 404


def test_with_too_many_running_sessions_what_they_will_cost_is_left_out(
    site: Stage, reader: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.get("/costs", by="model")["totals"]
    monkeypatch.setattr(costs, "MOST_ON_A_PAGE", 0)
    page = reader.page("/costs?by=model")
    [total] = site.get("/costs", by="model")["totals"]
    assert "What is not yet charged and what is expected are left out here" in page
    assert [one["burning_per_hour"] for one in before] == [total["burning_per_hour"]] != ["0.00"]
    spent, burning = shown({**total, "not_yet_charged": "", "expected": ""})[0], total["burning_per_hour"]
    assert [row[1] for row in rows(page)] == [spent, spent]
    assert all(burning in row[2] for row in rows(page))
