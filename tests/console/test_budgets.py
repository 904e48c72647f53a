"""Budgets on the page of an account: what is used is shown to all, and administrators put and take them away."""

import html

import pytest

from orchestrator.rules.values import Scope
from tests.console.stage import Person, Stage, form_in, staged
from tests.world import MINUTE, World

ACCOUNT = "/accounts/acme"
DAY, MONTH = f"{ACCOUNT}/budgets/day", f"{ACCOUNT}/budgets/month"


@pytest.fixture
def admin(site: Stage) -> Person:
    return site.person(Scope.ADMIN)


def test_a_budget_is_put_shown_changed_and_taken_away(site: Stage, admin: Person) -> None:
    assert "No budget is set for a day" in admin.page(ACCOUNT)
    put = admin.press(ACCOUNT, MONTH, amount="0.10", max_burn_per_hour="6")
    assert "The budget is set" in admin.page(put.headers["location"])
    admin.press(ACCOUNT, DAY, amount="99", max_burn_per_hour="")
    site.world.run_session(stop={"max_duration_seconds": 7200})
    site.world.pass_time(3 * MINUTE)
    [day, month] = site.get(f"{ACCOUNT}/budgets")["budgets"]
    assert (day["amount"], day["max_burn_per_hour"], month["max_burn_per_hour"]) == ("99.00", None, "6.00")
    page = site.person(Scope.READ).page(ACCOUNT)
    assert f"{month['used']} of 0.10 USD" in page
    assert f'<progress max="0.1" value="{float(month["used"])}" aria-label="Budget of each month">' in page
    assert f'since <time datetime="{month["since"]}">' in page
    assert f"{month['left']} USD left. 80 % was reached. At most 6.00 USD an hour in all." in page
    admin.press(ACCOUNT, MONTH, amount="500")
    assert site.get(f"{ACCOUNT}/budgets")["budgets"][1]["amount"] == "500.00"
    gone = admin.press(ACCOUNT, MONTH, amount="500", remove="yes")
    assert "The budget is removed" in admin.page(gone.headers["location"])
    assert [one["period"] for one in site.get(f"{ACCOUNT}/budgets")["budgets"]] == ["day"]


def test_a_budget_that_is_used_up_says_until_when(site: Stage, admin: Person) -> None:
    admin.press(ACCOUNT, DAY, amount="0.03")
    site.world.run_session(stop={"max_duration_seconds": 7200})
    site.world.pass_time(3 * MINUTE)
    page = admin.page(ACCOUNT)
    assert "Used up: no session starts until the day is over" in page
    assert '<progress max="0.03" value="0.03"' in page, "more than the whole is shown as the whole"


def test_an_emptied_field_takes_no_budget_away(site: Stage, admin: Person) -> None:
    admin.press(ACCOUNT, DAY, amount="5")
    refused = admin.press(ACCOUNT, DAY, status=422, amount="", max_burn_per_hour="1")
    assert "press the button that removes the budget" in html.unescape(refused.text)
    assert "amount" in admin.press(ACCOUNT, DAY, status=422, amount="a lot").text
    assert site.get(f"{ACCOUNT}/budgets")["budgets"][0]["amount"] == "5.00"


def test_a_form_of_a_budget_acts_once_and_names_who_sent_it(site: Stage, admin: Person) -> None:
    form = form_in(admin.page(ACCOUNT), DAY) | {"amount": "5"}
    assert admin.http.post(DAY, data=form).status_code == 303
    admin.press(ACCOUNT, DAY, amount="7")
    assert admin.http.post(DAY, data=form).status_code == 303, "it is answered as before"
    assert site.get(f"{ACCOUNT}/budgets")["budgets"][0]["amount"] == "7.00"
    job = site.get(f"/jobs/{form['key']}")
    assert (job["name"], job["author"]) == ("orchestrator.account.budget", "anna")
    assert admin.http.post(f"{ACCOUNT}/budgets/week", data=form).status_code == 422


def test_of_two_who_change_a_budget_at_once_the_second_is_told(site: Stage, admin: Person) -> None:
    admin.press(ACCOUNT, DAY, amount="5")
    other = site.person(Scope.ADMIN, name="ben")
    form = form_in(other.page(ACCOUNT), DAY) | {"amount": "9"}
    admin.press(ACCOUNT, DAY, amount="7")
    late = other.http.post(DAY, data=form)
    assert (late.status_code, "has changed since it was read" in late.text) == (412, True)
    assert site.get(f"{ACCOUNT}/budgets")["budgets"][0]["amount"] == "7.00"


def test_a_read_only_console_shows_budgets_without_their_form(world: World) -> None:
    terms = {"account_id": "acme", "period": "day", "amount": "5", "currency": "USD"}
    world.done("account.budget", **terms)
    with staged(world, read_only=True) as site:
        page = site.person(Scope.ADMIN).page(ACCOUNT)
    assert "0.00 of 5.00 USD" in page
    assert "Change the budgets" not in page
