"""What people do in the console has the effect of the API's own requests, once, and first says what it hits."""

import re

import pytest

from orchestrator.rules.values import Scope
from tests.console.stage import Person, Stage, form_in
from tests.world import MINUTE


@pytest.fixture
def admin(site: Stage) -> Person:
    return site.person(Scope.ADMIN, Scope.REVEAL)


def test_a_session_is_created_watched_extended_pinged_and_closed(site: Stage, admin: Person) -> None:
    assert "Free." in admin.page("/new/name?account_id=acme&name=shop")
    page = admin.page("/new?account_id=acme")
    assert "Cannot be chosen: its learning stage is" in page
    review = "/new/review?account_id=acme&model_id=llama&name=shop&minutes=60&cost=5"
    assert "Admission would start it now" in admin.page(review)
    assert site.get("/sessions")["items"] == [], "a review keeps nothing"
    created = admin.press(review, "/new/review", how="now")
    where = created.headers["location"].partition("?")[0]
    session_id = where.rpartition("/")[2]
    site.world.settle()
    page = admin.page(where)
    assert "placement 1 at alpha answers" in page
    assert "Cost by its end" in page
    assert "Taken by" in admin.page("/new/name?account_id=acme&name=shop")
    admin.press(f"{where}/extend", minutes="120")
    assert site.get(f"/sessions/{session_id}")["stop_at"] == "2026-01-01T14:00:00Z"
    site.world.pass_time(5 * MINUTE)
    admin.press(f"{where}/ping")
    shown = admin.page(f"{where}/close")
    assert "shop" in shown
    assert "Cost so far" in shown
    admin.press(f"{where}/close", detail="no longer needed")
    site.world.settle()
    session = site.get(f"/sessions/{session_id}")
    assert (session["state"], session["stop_detail"]) == ("stopped", "no longer needed")
    assert "The close is decided" in admin.page(f"{where}?done=closed")
    admin.press(f"{where}/delete")
    assert site.get(f"/sessions/{session_id}")["deleted_at"]


def test_a_form_that_is_sent_twice_acts_once(site: Stage, admin: Person) -> None:
    form = form_in(admin.page("/new/review?account_id=acme&model_id=llama"), "/new/review")
    first, second = (admin.http.post("/new/review", data={**form, "how": "now"}) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert len(site.get("/sessions")["items"]) == 1
    credit = form_in(admin.page("/accounts/acme"), "/accounts/acme/credit") | {"amount": "7", "reference": ""}
    for _ in range(2):
        assert admin.http.post("/accounts/acme/credit", data=credit).status_code == 303
    assert site.world.balance() == 107
    job = site.get(f"/jobs/{form['key']}")
    assert (job["author"], job["name"]) == ("anna", "orchestrator.session.create")


def test_a_refused_create_says_why_and_can_be_queued(site: Stage, admin: Person) -> None:
    for _ in range(2):
        site.create()
    review = "/new/review?account_id=acme&model_id=llama&name=third"
    page = admin.page(review)
    assert "It would be refused now" in page
    assert "It can be queued" in page
    assert "allows 2 at once" in admin.press(review, "/new/review", how="now", status=409).text
    queued = admin.press(review, "/new/review", how="queue")
    assert queued.headers["location"].endswith("done=queued")
    assert "quota concurrent exceeded" in admin.page("/queue")


def test_wrong_input_is_named_and_kept(admin: Person) -> None:
    page = admin.page("/new/review?account_id=acme&model_id=llama&minutes=x", 422)
    assert "must be a whole number" in page
    assert "It would be refused now" in admin.page("/new/review?account_id=acme&model_id=base")
    assert "model nobody is unknown" in admin.page("/new/review?account_id=acme&model_id=nobody")


def test_many_are_closed_only_with_their_number_typed(site: Stage, admin: Person) -> None:
    for _ in range(2):
        site.create()
    site.world.settle()
    look = "/sessions/close-many?look=1&state=running"
    page = admin.page(look)
    assert "2 sessions would be closed" in page
    assert "2.40 USD" in page, "what they burn in an hour"
    assert "Nothing was changed" in admin.press(look, "/sessions/close-many", status=422, typed="3").text
    assert {one["state"] for one in site.get("/sessions")["items"]} == {"running"}
    admin.press(look, "/sessions/close-many", typed="2")
    site.world.settle()
    assert {one["state"] for one in site.get("/sessions")["items"]} == {"stopped"}


def test_a_close_without_proof_is_shown_confirmed_and_forced_with_a_reason(
    site: Stage, admin: Person
) -> None:
    ids = [site.world.run_session("moral", name=f"n{n}") for n in range(2)]
    site.world.server.fault("close_fails", operation="close")
    for one in ids:
        site.post(f"/sessions/{one}/close")
    site.world.settle()
    unproven = admin.page("/unproven")
    assert all(one in unproven for one in ids)
    force = f"/sessions/{ids[0]}/force"
    assert "Money at risk" in admin.page(force)
    assert "Not like this" in admin.press(force, status=422, detail="").text
    admin.press(force, detail="the platform is gone")
    admin.press(f"/sessions/{ids[1]}/confirm", detail="seen in their console")
    [forced] = site.get(f"/sessions/{ids[0]}")["forced_closes"]
    assert (forced["by"], forced["why"]) == ("anna", "the platform is gone")
    assert site.get(f"/sessions/{ids[1]}")["state"] == "stopped"
    assert "Ended without proof by anna" in admin.page(f"/sessions/{ids[0]}")


def test_an_accounts_limits_are_changed_unless_someone_else_has_meanwhile(site: Stage, admin: Person) -> None:
    target = "/accounts/acme/quota"
    early = form_in(admin.page("/accounts/acme"), target)
    admin.press("/accounts/acme", target, plan="payg", max_concurrent="5", max_sessions="unlimited")
    account = site.get("/accounts/acme")
    assert account["own_quota"] == {"max_concurrent": 5, "max_sessions": "unlimited"}
    late = admin.http.post(target, data={**early, "plan": "payg", "key": "0" * 8 + "-" * 28})
    assert late.status_code == 412
    admin.press("/accounts/acme", target, plan="payg")
    assert site.get("/accounts/acme")["own_quota"] == {}


def test_a_provider_is_checked_and_its_brake_released(site: Stage, admin: Person) -> None:
    checked = admin.press("/providers/alpha", "/providers/alpha/check", status=200)
    assert "Check found no fault" in checked.text
    for _ in range(2):
        site.create()
    site.world.settle()
    site.world.server.fault("dead", upstream="alpha")
    site.world.pass_time(MINUTE)
    assert site.get("/providers/alpha")["brakes"]
    assert "keeps sessions from being stopped as dead" in admin.page("/")
    assert "2 running sessions are affected" in admin.page("/providers/alpha/release-brake")
    admin.press("/providers/alpha/release-brake")
    assert site.get("/providers/alpha")["brakes"] == []


def test_sessions_are_found_by_name_by_id_and_by_filter(site: Stage, admin: Person) -> None:
    one = site.create(name="alpha-one")
    site.create(name="beta-two", start=False)
    assert admin.http.get(f"/sessions?q={one}").headers["location"] == f"/sessions/{one}"
    found = admin.page("/sessions?q=alpha-one&state=&account=&provider=")
    assert "alpha-one" in found
    assert "beta-two" not in found
    assert admin.http.get(f"/sessions?q={one[:8]}").headers["location"] == f"/sessions/{one}"
    assert "beta-two" in admin.page("/sessions?q=beta")
    assert "alpha-one" not in admin.page("/sessions?q=beta")
    assert "beta-two" in admin.page("/sessions?state=created")
    assert "No matching session" in admin.page("/sessions?state=failed")


def test_older_sessions_follow_on_the_next_page(site: Stage, admin: Person) -> None:
    own = {"plan": "payg", "currency": "USD", "quota": {"max_sessions": "unlimited"}}
    assert site.operator.put("/accounts/acme", json=own).status_code == 200
    for n in range(52):
        site.create(name=f"n{n:02}", start=False)
    page = admin.page("/sessions?state=created")
    following = re.search(r'href="([^"]+)" rel="next"', page)
    assert following is not None
    older = admin.page(following[1].replace("&amp;", "&"))
    assert page.count("badge tone-calm") == 50
    assert older.count("badge tone-calm") == 2


def test_the_ledger_is_downloaded_whole(site: Stage, admin: Person) -> None:
    response = admin.http.get("/accounts/acme/ledger.csv")
    assert response.headers["content-type"].startswith("text/csv")
    assert response.text.startswith("id,at,kind,")


def test_what_others_wrote_is_shown_as_text(site: Stage, admin: Person) -> None:
    session_id = site.create(name="<script>x</script>", description='"><img src=x onerror=y>')
    page = admin.page(f"/sessions/{session_id}")
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "<img" not in page


def test_a_close_without_proof_is_tried_again_by_hand(site: Stage) -> None:
    session_id = site.world.run_session("moral", name="stuck")
    fault = site.world.server.fault("close_fails", operation="close")
    site.world.done("session.close", session_id=session_id)
    site.world.pass_time(30 * MINUTE)
    person = site.person(Scope.OPERATE)
    where = f"/sessions/{session_id}"
    assert f'href="{where}/retry"' in person.page("/unproven")
    assert f'href="{where}/retry"' in person.page(where)
    site.world.server.remove_fault(fault)
    assert "tried again at once" in person.page(f"{where}/retry")
    person.press(f"{where}/retry")
    site.world.settle()
    assert site.get(where)["state"] == "stopped"
    assert "retry" not in person.page(where)
