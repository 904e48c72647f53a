"""A person in a browser: every page in light, dark and narrow, and every action, compared with what the API says."""

import socket
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.waiting import eventually
from tests.web.browser import NARROW, WIDE, Browser
from tests.web.conftest import Shown

pytestmark = [pytest.mark.web, pytest.mark.timeout(900)]

PAGES = {
    "overview": "/",
    "sessions": "/sessions",
    "session": "/sessions/{chat-frontend}",
    "session-unproven": "/sessions/{gate-2}",
    "session-in-doubt": "/sessions/{wobbly}",
    "session-over": "/sessions/{over}",
    "close": "/sessions/{chat-frontend}/close",
    "extend": "/sessions/{chat-frontend}/extend",
    "force": "/sessions/{gate-2}/force",
    "close-many": "/sessions/close-many?look=1&account_id=acme",
    "new-account": "/new",
    "new": "/new?account_id=acme",
    "review": "/new/review?account_id=acme&model_id=llama-3.1-8b&minutes=90&name=fresh",
    "review-refused": "/new/review?account_id=globex&model_id=mistral-7b",
    "endpoint": "/sessions/{chat-frontend}/endpoint",
    "endpoint-image": "/sessions/{invoice-reader}/endpoint",
    "endpoint-audio": "/sessions/{call-notes}/endpoint",
    "accounts": "/accounts",
    "account": "/accounts/acme",
    "ledger": "/accounts/acme/ledger",
    "costs": "/costs",
    "costs-by-day": "/costs?by=day&account=acme",
    "providers": "/providers",
    "provider": "/providers/shaky",
    "release-brake": "/providers/shaky/release-brake",
    "unproven": "/unproven",
    "queue": "/queue",
    "jobs": "/jobs",
    "events": "/events",
    "audit": "/audit",
    "what-if": "/what-if?set=plans.payg.max_duration_seconds+%3D+300&prices=llama-3.1-8b+%3D+9",
    "webhooks": "/webhooks",
}


@pytest.fixture(autouse=True)
def a_window_of_usual_size(shown: Shown) -> Iterator[None]:
    """Begin each test with light colours and a wide window, and end it without a complaint of the browser."""
    shown.browser.resize(WIDE)
    shown.browser.darken(dark=False)
    shown.browser.complaints()
    yield
    assert shown.browser.complaints() == []


def test_the_link_of_up_signs_in_and_leaves_no_token_behind(shown: Shown) -> None:
    browser = shown.browser
    browser.go("/")
    assert browser.path == "/"
    assert "token" not in browser.driver.execute_script("return JSON.stringify(performance.getEntries())")
    cookie = browser.driver.get_cookie("orchestrator_console")
    assert cookie is not None
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    counts = {one.split("\n")[1]: int(one.split("\n")[0]) for one in browser.texts(".tile")}
    running = shown.live.get("/sessions", state="running", limit=200)["items"]
    assert counts["running"] == len(running)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_light_dark_and_narrow(shown: Shown, name: str) -> None:
    browser, path = shown.browser, PAGES[name]
    for key, session_id in shown.ids.items():
        path = path.replace(f"{{{key}}}", session_id)
    browser.go(path)
    assert browser.texts("h1")
    assert browser.violations() == []
    browser.shoot(name)
    browser.resize(WIDE)
    browser.darken(dark=True)
    assert browser.violations() == [], "dark"
    browser.shoot(f"{name}-dark")
    browser.darken(dark=False)
    browser.resize(NARROW)
    browser.go(path)
    assert not browser.sideways()
    assert browser.violations() == [], "narrow"
    browser.shoot(f"{name}-narrow")


def test_axe_finds_what_is_wrong(shown: Shown) -> None:
    shown.browser.go("/jobs")
    shown.browser.driver.execute_script("document.querySelector('label[for=id]').remove()")
    assert any(one.startswith("label") for one in shown.browser.violations())


def test_a_session_is_created_watched_tried_extended_closed_and_deleted(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    browser.go("/")
    browser.click("nav a[href='/new']")
    browser.click("main a[href='/new?account_id=acme']")
    browser.fill("name", "chat-frontend")
    browser.until("Taken by")
    browser.fill("name", "from-the-browser")
    browser.until("Free.")
    assert not browser.find("input[value='llama-base']").is_enabled()
    browser.click("input[value='llama-3.1-8b']")
    browser.click("button[data-for='minutes'][data-step='15']")
    browser.click("button[data-for='minutes'][data-step='15']")
    browser.follow("Review")
    assert "Admission would start it now" in browser.text
    assert "0.60 USD" in browser.text, "its whole duration, 30 min at 1.20 an hour"
    browser.follow("Create it")
    session_id = urlsplit(browser.path).path.rpartition("/")[2]
    assert live.get(f"/sessions/{session_id}")["name"] == "from-the-browser"
    browser.until("placement 1 at steady answers")  # by itself: the page hears that something has changed

    browser.follow("Integrate and try it")
    assert "sk-steady" not in browser.text
    browser.follow("Reveal the token")
    assert "sk-steady" in browser.text
    browser.fill("text", "Say hello")
    browser.fill("temperature", "0.5")
    browser.follow("Send")
    assert browser.find(".chat.reply").text
    assert live.get(f"/sessions/{session_id}")["interactions"] == 1

    browser.go(f"/sessions/{session_id}")
    browser.follow("Extend")
    browser.fill("minutes", "60")
    browser.follow("Raise the limits")
    assert "The limits are raised" in browser.text
    browser.follow("Ping")
    browser.follow("Ping it now")
    browser.follow("Close")
    assert "from-the-browser" in browser.text
    assert "Cost so far" in browser.text
    browser.follow("Leave it")
    browser.follow("Close")
    browser.fill("detail", "seen enough")
    browser.follow("Close the session")
    browser.until("seen enough")
    assert live.until(session_id, "stopped")["stop_reason"] == "user"
    browser.go(f"/sessions/{session_id}")
    browser.follow("Delete")
    browser.follow("Delete the session")
    assert live.get(f"/sessions/{session_id}")["deleted_at"]


def test_a_draft_is_started_and_a_full_queue_is_shown(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    browser.go(f"/sessions/{shown.ids['draft']}")
    browser.follow("Start")
    browser.follow("Start the session")
    live.until(shown.ids["draft"], "running")
    browser.go("/new/review?account_id=globex&model_id=mistral-7b&name=waits")
    assert "It would be refused now" in browser.text
    browser.follow("Create it, or queue it")
    browser.until("queued")
    waiting = {one["name"]: one["position"] for one in live.get("/queue")["items"]}
    browser.go("/queue")
    for name, position in waiting.items():
        assert f"{position} {name}" in browser.text


def test_an_image_and_a_sound_are_sent(shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = {"invoice-reader": "seen.png", "call-notes": "heard.wav"}
    for name, file in files.items():
        path = tmp_path_factory.mktemp("files") / file
        path.write_bytes(b"RIFF or PNG, as its name says")
        shown.browser.go(f"/sessions/{shown.ids[name]}/endpoint")
        shown.browser.find("input[type=file]").send_keys(str(path))
        if name == "invoice-reader":
            shown.browser.fill("text", "What is the total?")
        shown.browser.follow("Send")
        assert shown.browser.all(".chat.reply"), shown.browser.text
        assert shown.live.get(f"/sessions/{shown.ids[name]}")["interactions"] == 1


def test_many_are_closed_with_their_number_typed(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    ids = [live.create(f"batch-{n}", "acme/support") for n in range(3)]
    for one in ids:
        live.until(one, "running")
    browser.go("/sessions")
    browser.follow("Close many")
    browser.fill("model_id", "acme/support")
    browser.follow("Show what would be closed")
    assert "3 sessions would be closed" in browser.text
    assert "3.60 USD" in browser.text
    browser.fill("typed", "3")
    browser.follow("Close 3 sessions")
    for one in ids:
        live.until(one, "stopped")


def test_sessions_are_searched_and_filtered(shown: Shown) -> None:
    browser = shown.browser
    browser.go("/sessions")
    browser.fill("q", "summaries")
    browser.follow("Search")
    assert [one.text for one in browser.all("tbody td:nth-child(2)")] == ["summaries"]
    browser.follow("Clear")
    browser.fill("q", shown.ids["summaries"])
    browser.follow("Search")
    assert browser.path == f"/sessions/{shown.ids['summaries']}"
    browser.go("/sessions")
    browser.click("input[value='queued']")
    browser.follow("Search")
    assert set(browser.texts("tbody td:first-child")) == {"queued"}


def test_what_is_unproven_is_confirmed_and_forced_with_a_reason(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    session_id = shown.ids["gate-2"]
    browser.go("/unproven")
    assert "eval-two" in browser.text
    browser.click(f"main a[href='/sessions/{session_id}/force']")
    assert "Money at risk" in browser.text
    browser.click("main form button.danger")
    assert browser.path.endswith("/force"), "it asks for a reason first"
    browser.fill("detail", "the platform has forgotten it")
    browser.follow("End it without proof")
    [forced] = live.get(f"/sessions/{session_id}")["forced_closes"]
    assert (forced["by"], forced["why"]) == (f"up@{socket.gethostname()}", "the platform has forgotten it")
    other = shown.ids["gate-1"]
    live.send("POST", f"/sessions/{other}/close")
    eventually(lambda: live.get(f"/sessions/{other}")["unproven_since"], "an unproven close", every=0.5)
    browser.go("/unproven")
    browser.click(f"main a[href='/sessions/{other}/confirm']")
    browser.fill("detail", "gone from their console")
    browser.follow("Confirm it")
    live.until(other, "stopped")


def test_an_account_is_credited_and_its_limits_are_changed(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    before = float(live.get("/accounts/globex")["balance"])
    browser.go("/accounts")
    browser.follow("globex")
    browser.fill("amount", "25")
    browser.fill("reference", "invoice-1")
    browser.follow("Credit the account")
    assert "The account is credited" in browser.text
    assert float(live.get("/accounts/globex")["balance"]) > before + 24
    browser.fill("max_concurrent", "unlimited")
    browser.follow("Change the limits")
    assert live.get("/accounts/globex")["own_quota"] == {"max_concurrent": "unlimited"}
    browser.find("#month-amount").send_keys("250")
    browser.follow("Set the budget of the month")
    assert "of 250.00 USD" in browser.text
    browser.find("#month-amount").clear()
    browser.follow("Remove the budget of the month")
    assert live.get("/accounts/globex/budgets")["budgets"] == []
    browser.follow("Whole ledger")
    assert "granted" in browser.text


def test_a_provider_is_checked_and_its_brake_is_released(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    eventually(lambda: live.get("/providers/shaky")["brakes"], "a brake", every=0.5)
    browser.go("/providers")
    browser.follow("shaky")
    assert "Brake since" in browser.text
    browser.follow("Release brakes")
    assert "running sessions are affected" in browser.text
    browser.follow("Release them")
    assert "The brakes are released" in browser.text
    browser.go("/providers/steady")
    browser.follow("Check it now")
    assert "Check found no fault" in browser.text


def test_jobs_events_and_the_audit_are_read(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    browser.go("/jobs")
    browser.all("tbody a")[0].click()
    assert browser.find("main pre").text.startswith("{")
    browser.go("/events")
    browser.fill("type", "unproven")
    browser.follow("Filter")
    assert set(browser.texts(".kind")) == {"session unproven"}
    browser.go("/audit")
    for check in live.get("/audit")["checks"]:
        assert check["meaning"] in browser.text


def test_a_page_is_read_and_a_session_closed_without_scripts(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    session_id = live.create("without-scripts")
    live.until(session_id, "running")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.go(f"/sessions/{session_id}")
        assert browser.driver.find_elements(By.CSS_SELECTOR, "svg.lane rect")
        browser.press(By.LINK_TEXT, "Close")
        browser.press(By.CSS_SELECTOR, "main form button[type=submit]")
        live.until(session_id, "stopped")
        browser.go("/costs")
        browser.driver.find_element(By.CSS_SELECTOR, "#by option[value=provider]").click()
        browser.press(By.CSS_SELECTOR, "main form button[type=submit]")
        assert "steady" in browser.find("tbody").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_keyboard_leads_to_the_content(shown: Shown) -> None:
    browser = shown.browser
    browser.go("/sessions")
    browser.find("body").send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert focused.text == "Skip to the content"
    assert focused.value_of_css_property("outline-style") == "solid"
    focused.send_keys(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "main"


def test_someone_with_a_token_of_one_account_sees_that_account(shown: Shown) -> None:
    token = shown.live.token_of("operate", account="globex")
    other = Browser(shown.live.url)
    try:
        other.go("/sessions")
        other.fill("token", token)
        other.follow("Sign in")
        assert other.path == "/sessions"
        assert set(other.texts("tbody td:nth-child(3)")).isdisjoint({"acme"})
        assert not other.all("nav a[href='/providers']")
        other.go("/")
        assert other.path == "/accounts/globex"
        other.click(".who button")
        other.until("Sign in")
        other.go("/sessions")
        assert other.path.startswith("/sign-in")
    finally:
        other.close()


def _shows_lines(browser: Browser, path: str) -> bool:
    browser.go(path)
    browser.until("Pings a second")
    return len(browser.all("figure svg.line polyline")) > 2


def test_the_last_hour_is_drawn(shown: Shown) -> None:
    browser, live = shown.browser, shown.live
    eventually(
        lambda: len(live.get("/overview")["last_hour"]["minutes"]) > 2, "two minutes", wait_limit=260, every=2
    )
    for name, path in (("overview-later", "/"), ("provider-later", "/providers/steady")):
        eventually(partial(_shows_lines, browser, path), "two minutes that are over", 200, every=5)
        assert browser.violations() == []
        browser.shoot(name)
