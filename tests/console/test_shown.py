"""What pages show and where they lead: nothing that the reader may not do, and nothing that is lost on the way."""

import html
import re

import pytest

from orchestrator.console import charts
from orchestrator.console.views import accounts, installation
from orchestrator.flows.operations.write_minutes import write_minutes
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import Scope
from tests.console.stage import Stage, staged
from tests.world import MINUTE, World


def links(page: str) -> list[str]:
    """Return where the links of a page lead."""
    return [html.unescape(one) for one in re.findall(r'<a[^>]*\shref="([^"]*)"', page)]


def test_the_list_of_sessions_offers_what_each_state_allows(site: Stage) -> None:
    running, draft = site.create(), site.create(start=False)
    site.world.settle()
    operator, reader = site.person(Scope.OPERATE), site.person(Scope.READ)
    offered = links(operator.page("/sessions"))
    assert {f"/sessions/{running}/{one}" for one in ("ping", "extend", "close")} <= set(offered)
    assert f"/sessions/{draft}/close" in offered
    assert f"/sessions/{draft}/ping" not in offered
    assert not [one for one in links(reader.page("/sessions")) if one.startswith(f"/sessions/{running}/")]


def test_a_form_that_only_operators_use_is_offered_to_them_only(world: World) -> None:
    with staged(world) as site:
        assert "/new" in links(site.person(Scope.OPERATE).page("/accounts"))
        assert "/new" not in links(site.person(Scope.READ).page("/accounts"))
    with staged(world, read_only=True) as site:
        assert "/new" not in links(site.person(Scope.ADMIN).page("/accounts"))


def test_the_overview_leads_on(site: Stage) -> None:
    site.create()
    site.world.settle()
    leads = set(links(site.person(Scope.READ).page("/")))
    assert {
        "/sessions?state=running",
        "/sessions?state=running&provider=alpha",
        "/costs",
        "/unproven",
    } <= leads


def test_the_overview_says_how_many_pings_had_which_verdict_in_whole_minutes(site: Stage) -> None:
    world = site.world
    world.run_session()
    for _ in range(3):
        world.pass_time(MINUTE)
        write_minutes(world.services)
    hour = site.get("/overview")["last_hour"]["minutes"]
    whole = charts.complete(site.get("/overview")["last_hour"], world.clock.now)
    assert whole == [one for one in hour if one["at"] < rfc3339(world.clock.now.replace(second=0))]
    a_second = whole[-1]["pings"]["by_verdict"]["ALIVE"] / 60
    page = site.person(Scope.READ).page("/")
    assert a_second > 0
    assert f'alive</span> {a_second:.2f} <span class="quiet">in the last whole minute' in page


def test_an_account_with_many_sessions_lists_the_newest(site: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "BURNING", 1)
    old, new = (site.create(name=name) for name in ("old", "new"))
    site.world.settle()
    page = site.person(Scope.READ).page("/accounts/acme")
    burning = page.partition("Cost per hour by session")[2].partition("Ledger")[0]
    assert f"/sessions/{new}" in burning
    assert f"/sessions/{old}" not in burning
    assert "/sessions?account=acme&state=running" in links(burning)
    assert "2.40 USD" in page, "what all of them burn"


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/a/b", "/%5Cevil.example/"])
def test_an_unknown_address_leads_back_to_a_page_of_ours(site: Stage, path: str) -> None:
    person = site.person(Scope.READ)
    answer = person.http.send(person.http.build_request("GET", f"{site.url}{path}"))
    assert answer.status_code == 404
    assert not [one for one in links(answer.text) if one.startswith(("//", "/\\"))]


def test_every_stop_condition_has_a_stepper(site: Stage) -> None:
    page = site.person(Scope.OPERATE).page("/new?account_id=acme")
    assert set(re.findall(r'data-for="(\w+)"', page)) == {"minutes", "interactions", "idle", "cost", "nodes"}


def test_what_was_given_is_kept_from_step_to_step(site: Stage) -> None:
    person = site.person(Scope.OPERATE)
    wanted = "account_id=acme&model_id=llama&name=a+name&description=what+for&minutes=60&cost=1.50&failover=1"
    review = person.page(f"/new/review?{wanted}")
    assert "what for" in review
    [change] = [one for one in links(review) if one.startswith("/new?")]
    form = person.page(change)
    assert 'name="failover" value="1" checked' in form
    assert all(f'value="{one}"' in form for one in ("a name", "what for", "60", "1.50"))


@pytest.mark.parametrize("field", ["minutes", "interactions", "idle", "nodes"])
def test_a_wrong_number_is_asked_for_again_with_all_that_was_given(site: Stage, field: str) -> None:
    person = site.person(Scope.OPERATE)
    page = person.page(f"/new/review?account_id=acme&model_id=llama&name=kept&{field}=-5", 422)
    assert f"{field}: must be a whole number" in page
    assert 'value="kept"' in page
    assert 'value="-5"' in page
    sent = {"account_id": "acme", "model_id": "llama", "name": "kept", field: "1.5"}
    refused = person.press(
        "/new/review?account_id=acme&model_id=llama", status=422, action="/new/review", **sent
    )
    assert 'value="1.5"' in refused.text
    assert person.http.get("/new/review").headers["location"] == "/new"


def test_a_price_is_shown_with_all_its_digits(site: Stage) -> None:
    site.world.put_model("cheap", {"alpha": "llama-3"}, price_per_node_hour="0.0005")
    page = site.person(Scope.OPERATE).page("/new/review?account_id=acme&model_id=cheap&minutes=60")
    assert page.count("0.0005 USD") == 3, "an hour, an hour with all that runs, and its whole duration"


def test_a_search_leads_to_a_session_only_where_no_other_is_meant(site: Stage) -> None:
    one = site.create(session_id="chat-1", name="first")
    other = site.create(name="chat-frontend")
    person = site.person(Scope.READ)
    found = links(person.page("/sessions?q=chat"))
    assert {f"/sessions/{one}", f"/sessions/{other}"} <= set(found)
    assert person.http.get("/sessions?q=chat-1").headers["location"] == f"/sessions/{one}"
    assert person.http.get(f"/sessions?q={other[:12]}").headers["location"] == f"/sessions/{other}"


@pytest.mark.parametrize("text", ["%00", "a%0Ab", "%E2%80%AEabc", "a%00b"])
def test_a_name_that_cannot_be_used_is_not_called_free(site: Stage, text: str) -> None:
    person = site.person(Scope.OPERATE)
    said = person.page(f"/new/name?account_id=acme&name={text}")
    assert "Free." not in said
    assert "control characters" in said
    assert person.http.get("/new/name?account_id=%00&name=x").status_code == 422


def test_events_are_found_behind_those_of_others(site: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "EVENTS", 3)
    site.world.open_account("globex")
    mine = site.create(name="mine", start=False)
    others = [site.create(account_id="globex", start=False) for _ in range(9)]
    everyone, bound = site.person(Scope.READ), site.person(Scope.READ, account="acme")
    assert f"/sessions/{mine}" in links(bound.page("/events"))
    assert not {f"/sessions/{one}" for one in others} & set(links(bound.page("/events")))
    newest = [one for one in links(everyone.page("/events")) if one.startswith("/sessions/")]
    assert newest == [f"/sessions/{one}" for one in others[:-4:-1]], "three, the newest first"
    assert f"/sessions/{mine}" in links(everyone.page(f"/events?subject={mine}"))
    assert f"/sessions/{others[0]}" not in links(bound.page(f"/events?subject={others[0]}"))
    assert everyone.http.get("/events?subject=%00").status_code == 422


def test_jobs_are_downloaded_as_the_page_lists_them(site: Stage) -> None:
    site.create(key="order-1")
    reader, bound = site.person(Scope.READ), site.person(Scope.READ, account="acme")
    assert "/jobs.json" in links(reader.page("/jobs"))
    answer = reader.http.get("/jobs.json")
    listed = {one["id"]: one for one in answer.json()}
    assert listed["order-1"]["outcome"] == site.get("/jobs/order-1")["outcome"]
    assert 'filename="jobs.json"' in answer.headers["content-disposition"]
    assert bound.http.get("/jobs.json").status_code == 403
