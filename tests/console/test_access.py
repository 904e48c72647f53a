"""Who sees and does what in the console: sign in, scopes, one account, other sites, read-only."""

import re
from collections.abc import Iterator, Mapping

import pytest
from fastapi.routing import APIRoute

from orchestrator.api.authentication import MOST_FAILURES
from orchestrator.console.guards import MOST_BYTES
from orchestrator.console.session import COOKIE, local
from orchestrator.console.views import NOUNS
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.rules.values import Scope
from orchestrator.settings.configuration import WebhookConfiguration
from tests.console.stage import Stage, form_in
from tests.world import World

#: A stream that does not end, what signs out, and what has a test of its own.
_APART = frozenset({"/live", "/sign-out", "/sign-in"})
_QUERIES: Mapping[str, str] = {
    "/new": "account_id={account_id}",
    "/new/name": "account_id={account_id}&name=any",
    "/new/review": "account_id={account_id}&model_id=llama&minutes=60",
}


def routes() -> Iterator[tuple[str, str]]:
    """Yield (method, path) of every page and action."""
    for noun in NOUNS:
        for route in noun.router.routes:
            assert isinstance(route, APIRoute)
            yield from ((method, route.path) for method in route.methods or () if route.path not in _APART)


def pages() -> list[str]:
    """Return the path of every page."""
    return sorted({path for method, path in routes() if method == "GET"})


def filled(path: str, names: Mapping[str, str]) -> str:
    """Return the path of these ids, with the query that its page needs."""
    query = _QUERIES.get(path)
    whole = path if query is None else f"{path}?{query}"
    return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], whole)


def names(session_id: str, account_id: str, action: str) -> Mapping[str, str]:
    """Return what fills a path."""
    more = {"placement_id": "nothing", "period": "month"}
    return {"session_id": session_id, "account_id": account_id, "name": action, **more}


def all_paths(session_id: str, account_id: str) -> list[str]:
    """Return the path of every page, of each action of a session and of one provider."""
    actions = ("close", "extend", "ping", "start", "delete", "confirm", "force")
    found = []
    for path in pages():
        if path == "/sessions/{session_id}/{name}":
            found += [filled(path, names(session_id, account_id, one)) for one in actions]
        elif not path.startswith("/leftovers"):
            found.append(filled(path, names(session_id, account_id, "alpha")))
    return found


def test_every_page_answers_and_forbids_what_is_not_ours(site: Stage) -> None:
    session_id = site.create(stop={"max_duration_seconds": 600})
    site.world.settle()
    hook = WebhookConfiguration(url="https://shop.test/", secret_refs=("env:HOOK",))
    put_webhook(site.world.services.database, "alpha", hook, active=True)
    person = site.person(Scope.ADMIN, Scope.REVEAL)
    asked = all_paths(session_id, "acme")
    assert len(asked) > 25
    for path in asked:
        response = person.http.get(path)
        assert response.status_code in {200, 204}, (path, response.status_code, response.text[-900:])
        policy = response.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        if response.headers.get("content-type", "").startswith("text/html"):
            assert not re.search(r"<[^>]+\s(style|on\w+)=", response.text), path
            assert "<script>" not in response.text


def test_metrics_are_no_page(site: Stage) -> None:
    answer = site.visitor().http.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_without_a_cookie_every_page_leads_to_the_form_and_no_action_is_taken(site: Stage) -> None:
    session_id = site.create()
    visitor = site.visitor()
    for method, path in routes():
        response = visitor.http.request(
            method, filled(path, names(session_id, "acme", "close")), data={"a": "b"}
        )
        assert response.status_code == 303, (method, path)
        assert response.headers["location"].startswith("/sign-in")
    assert visitor.http.get("/nowhere").headers["location"] == "/sign-in?next=%2Fnowhere"
    assert visitor.http.get("/sessions", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/sign-in"
    assert visitor.http.get("/static/console.css").status_code == 200
    assert visitor.http.get("/v1/sessions").status_code == 401
    assert site.get(f"/sessions/{session_id}")["state"] == "starting"


def test_a_token_signs_in_and_its_cookie_is_kept_from_scripts_and_other_sites(site: Stage) -> None:
    visitor = site.visitor()
    assert "unknown, revoked or expired" in visitor.http.post("/sign-in", data={"token": "orch_0_0"}).text
    token = site.token(Scope.READ)
    response = visitor.http.post("/sign-in?next=/sessions", data={"token": f" {token} "})
    assert (response.status_code, response.headers["location"]) == (303, "/sessions")
    kept = response.headers["set-cookie"].lower()
    assert all(part in kept for part in ("httponly", "samesite=strict", "path=/"))
    assert "secure" not in kept, "it is plain HTTP here"
    assert token not in visitor.page("/sessions")
    site.world.services.database.transact(lambda tx: tx.tokens.revoke(token.split("_")[1], tx.now()))
    assert visitor.http.get("/sessions").status_code == 303, "a revoked token ends at once"


def test_signing_out_removes_the_cookie(site: Stage) -> None:
    person = site.person(Scope.READ)
    sent = person.http.post("/sign-out", data=form_in(person.page("/sessions"), "/sign-out"))
    assert sent.headers["location"] == "/sign-in"
    assert COOKIE not in person.http.cookies
    assert person.http.get("/sessions").status_code == 303


def test_wrong_tokens_are_limited_together_with_those_of_the_api(site: Stage) -> None:
    visitor = site.visitor()
    for _ in range(MOST_FAILURES):
        assert visitor.http.post("/sign-in", data={"token": "orch_0_0"}).status_code == 401
    assert visitor.http.post("/sign-in", data={"token": "orch_0_0"}).status_code == 429
    assert visitor.http.get("/v1/sessions").status_code == 429
    assert visitor.sign_in(site.token(Scope.READ)).status_code == 303, "a good token is answered anyway"


def test_wrong_tokens_in_a_cookie_are_limited_too(site: Stage) -> None:
    visitor = site.visitor()
    for _ in range(MOST_FAILURES):
        answer = visitor.http.get("/sessions", headers={"cookie": f"{COOKIE}=orch_0_0"})
        assert (answer.status_code, "expires=" in answer.headers["set-cookie"].lower()) == (303, True)
    answer = visitor.http.get("/sessions", headers={"cookie": f"{COOKIE}=orch_0_0"})
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    assert visitor.http.get("/sessions").status_code == 303, "without any token one is led to the form"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/sessions?state=running", "/sessions?state=running"),
        ("//evil.example/x", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        (None, "/"),
    ],
)
def test_the_form_leads_only_to_pages_of_ours(path: str | None, kept: str) -> None:
    assert local(path) == kept


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(site: Stage, headers: Mapping[str, str]) -> None:
    session_id = site.create()
    person = site.person(Scope.ADMIN)
    path = f"/sessions/{session_id}/close"
    form = form_in(person.page(path), path)
    response = person.http.post(path, data=form, headers=headers)
    assert response.status_code == 403
    assert "another site" in response.text
    assert site.visitor().http.post("/sign-in", data={"token": "x"}, headers=headers).status_code == 403
    assert site.get(f"/sessions/{session_id}")["state"] == "starting"


def test_no_action_is_taken_without_the_token_of_the_persons_own_forms(site: Stage) -> None:
    session_id = site.create()
    person, other = site.person(Scope.ADMIN), site.person(Scope.ADMIN)
    path = f"/sessions/{session_id}/close"
    form = form_in(other.page(path), path)
    for sent in ({}, {"form": ""}, form, {"form": "0" * 64}):
        response = person.http.post(path, data=sent or {"detail": "x"})
        assert response.status_code == 403, sent
    for method, target in routes():
        if method == "POST":
            where = filled(target, names(session_id, "acme", "close")).replace(
                "/providers/close", "/providers/alpha"
            )
            assert person.http.post(where, data={"detail": "x"}).status_code in {403, 422}, target
    assert site.get(f"/sessions/{session_id}")["state"] == "starting"


def test_a_form_that_is_too_large_or_says_no_length_is_not_read(site: Stage) -> None:
    visitor = site.visitor()
    assert visitor.http.post("/sign-in", data={"token": "x" * (MOST_BYTES + 1)}).status_code == 413

    def chunks() -> Iterator[bytes]:
        yield b"token=x"

    assert visitor.http.post("/sign-in", content=chunks()).status_code == 413


def test_scopes_hold_on_every_page_and_action(site: Stage) -> None:
    session_id = site.create()
    reader, operator = site.person(Scope.READ), site.person(Scope.OPERATE)
    site.world.settle()
    page = reader.page(f"/sessions/{session_id}")
    assert "/close" not in page
    for path in ("close", "extend", "force", "delete"):
        assert "Not allowed" in reader.page(f"/sessions/{session_id}/{path}", 403)
    assert "scope operate" in reader.page("/new", 403)
    assert "/close" in operator.page(f"/sessions/{session_id}")
    assert "scope admin" in operator.page(f"/sessions/{session_id}/force", 403)
    assert "Credit the account" not in operator.page("/accounts/acme")
    assert "Change the budgets" not in operator.page("/accounts/acme")
    assert "scope admin" in operator.page("/providers/alpha/release-brake", 403)
    nothing = site.person(Scope.REVEAL)
    for path in all_paths(session_id, "acme"):
        if path != "/signed-in":
            assert nothing.http.get(path).status_code == 403, path


def test_a_token_of_one_account_sees_nothing_of_another_over_every_page(site: Stage) -> None:
    site.world.open_account("secretco")
    site.world.put_private_model("secretmodel", "secretco")
    site.create(account_id="secretco", session_id="secretsession", name="secretname")
    mine = site.create(session_id="mine", name="mine")
    site.world.settle()
    person = site.person(Scope.OPERATE, Scope.REVEAL, account="acme")
    for path in (*all_paths("secretsession", "secretco"), *all_paths(mine, "acme")):
        response = person.http.get(path)
        about_another = "secret" in path
        assert response.status_code in ({403, 404} if about_another else {200, 204, 303, 403}), (
            path,
            response.text,
        )
        shown = (
            response.text.replace("secretsession", "").replace("secretco", "")
            if about_another
            else response.text
        )
        assert "secretname" not in shown, path
        assert "secretmodel" not in shown, path
        assert about_another or "secretco" not in shown, path
    assert person.http.get("/").headers["location"] == "/accounts/acme"
    assert person.http.get("/accounts").headers["location"] == "/accounts/acme"
    for path in ("/providers", "/audit", "/providers/alpha"):
        assert "not bound to one account" in person.page(path, 403)
    assert "mine" in person.page("/sessions")
    assert person.http.get("/sessions?account=secretco").status_code == 404
    assert "secret" not in person.page("/events")
    assert person.http.get("/sessions?q=secretsession").status_code == 200, "as any id that is unknown"


def test_a_token_of_one_account_changes_nothing_of_another(site: Stage) -> None:
    site.world.open_account("secretco")
    session_id = site.create(account_id="secretco")
    own = site.create()
    person = site.person(Scope.OPERATE, account="acme")
    form = form_in(person.page(f"/sessions/{own}/close"), f"/sessions/{own}/close")
    for path in (
        f"/sessions/{session_id}/close",
        f"/sessions/{session_id}/try",
        "/accounts/secretco/credit",
        "/accounts/secretco/budgets/day",
    ):
        assert person.http.post(path, data={**form, "amount": "1", "currency": "USD"}).status_code in {
            403,
            404,
        }
    body = {**form, "account_id": "secretco", "model_id": "llama"}
    assert person.http.post("/new/review", data=body).status_code == 404
    many = {**form, "account_id": "secretco", "plan": "x", "count": "1", "typed": "1"}
    assert person.http.post("/sessions/close-many", data=many).status_code == 404
    assert site.get(f"/sessions/{session_id}")["state"] == "starting"


def test_a_read_only_console_shows_everything_and_refuses_every_change(world: World) -> None:
    with Stage(world, read_only=True) as site:
        session_id = site.create()
        world.settle()
        person = site.person(Scope.ADMIN, Scope.REVEAL)
        page = person.page(f"/sessions/{session_id}")
        assert 'id="read-only"' in page
        assert "/close" not in page
        form = form_in(page, "/sign-out")
        asked = 0
        for method, path in routes():
            if method == "POST" and not path.endswith("/reveal"):
                where = filled(path, names(session_id, "acme", "close")).replace(
                    "/leftovers/nothing", "/leftovers/x"
                )
                response = person.http.post(where, data=form)
                assert response.status_code == 403, (path, response.status_code)
                assert "read-only" in response.text, path
                asked += 1
        assert asked > 7
        assert "read-only" in person.page(f"/sessions/{session_id}/close", 403)
        assert site.get(f"/sessions/{session_id}")["state"] == "running"
