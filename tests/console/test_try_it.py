"""Integrate and try a session: only while it runs; the server asks, and counts it."""

import pytest

from orchestrator.rules.values import Scope
from tests.console.stage import Stage, form_in
from tests.upstreams import Upstream
from tests.world import World

SEEING = Upstream(
    name="alpha",
    driver="openai",
    numbers_keys=False,
    upstream={
        "models": [
            "llama-3",
            "base-3",
            {"id": "see-1", "type": "VLM"},
            {"id": "hear-1", "type": "ASR"},
        ]
    },
)
OTHERS = (
    Upstream(name="beta", driver="openai", numbers_keys=False),
    Upstream(name="morph", driver="morpheus", models=("moral-1",)),
)


def test_a_running_session_shows_its_endpoint_and_its_secret_to_whom_may_see_it(site: Stage) -> None:
    session_id = site.create()
    person, revealing = site.person(Scope.OPERATE), site.person(Scope.OPERATE, Scope.REVEAL)
    path = f"/sessions/{session_id}/endpoint"
    assert "Not now" in person.page(path, 409)
    site.world.settle()
    page = person.page(path)
    assert all(word in page for word in ("curl", "Python", "JavaScript", "llama-3"))
    secret = site.get(f"/sessions/{session_id}/endpoint", reveal=True)["secret"]
    assert secret not in page
    assert "/reveal" not in page
    form = form_in(page, f"/sessions/{session_id}/try")
    assert person.http.post(f"/sessions/{session_id}/reveal", data=form).status_code == 403
    assert secret not in revealing.page(path)
    assert secret in revealing.press(path, f"/sessions/{session_id}/reveal", status=200).text


def test_a_question_is_answered_with_its_options_and_counted_once(site: Stage) -> None:
    session_id = site.create()
    site.world.settle()
    person = site.person(Scope.OPERATE)
    path, target = f"/sessions/{session_id}/endpoint", f"/sessions/{session_id}/try"
    fields = {
        "text": "hello there",
        "temperature": "0.5",
        "top_p": "0.9",
        "top_k": "40",
        "repetition_penalty": "1.1",
    }
    answered = person.press(path, target, status=200, **fields)
    assert 'class="chat reply"' in answered.text
    assert site.get(f"/sessions/{session_id}")["interactions"] == 1
    refused = person.press(path, target, status=422, text="x", temperature="9")
    assert "must be a number from 0 to 2" in refused.text
    site.world.server.fault("error_before", upstream="alpha", operation="chat", times=1)
    failed = person.press(path, target, status=200, text="again")
    assert 'class="chat tone-bad"' in failed.text


@pytest.mark.parametrize(("model", "kind"), [("see", "VLM"), ("hear", "ASR")])
def test_a_model_that_sees_or_hears_takes_a_file(sqlite_url: str, model: str, kind: str) -> None:
    with World(sqlite_url, [SEEING, *OTHERS]) as world, Stage(world) as site:
        world.put_model(model, {"alpha": f"{model}-1"}, type=kind)
        session_id = site.create(model_id=model)
        world.settle()
        person = site.person(Scope.OPERATE)
        path, target = f"/sessions/{session_id}/endpoint", f"/sessions/{session_id}/try"
        form = form_in(person.page(path), target) | {"text": "what is it?"}
        good = ("x.png", b"\x89PNG", "image/png") if kind == "VLM" else ("x.wav", b"RIFF", "audio/wav")
        answered = person.http.post(target, data=form, files={"file": good})
        assert answered.status_code == 200, answered.text[-500:]
        assert 'class="chat reply"' in answered.text
        empty = person.http.post(target, data=form, files={"file": (good[0], b"", good[2])})
        assert (empty.status_code, "file: is empty" in empty.text) == (422, True)
        wrong = person.http.post(target, data=form, files={"file": ("x.exe", b"MZ", "application/x-dosexec")})
        assert wrong.status_code == 422
        assert site.get(f"/sessions/{session_id}")["interactions"] == 1


def test_a_question_that_is_sent_twice_is_asked_and_counted_once(site: Stage) -> None:
    session_id = site.create()
    site.world.settle()
    person = site.person(Scope.OPERATE)
    target = f"/sessions/{session_id}/try"
    form = form_in(person.page(f"/sessions/{session_id}/endpoint"), target) | {"text": "hello"}
    assert person.http.post(target, data=form).status_code == 200
    for text in ("hello", "another question under the key of the first"):
        again = person.http.post(target, data=form | {"text": text})
        assert (again.status_code, 'class="chat' in again.text) == (409, False)
    assert site.get(f"/sessions/{session_id}")["interactions"] == 1


@pytest.mark.parametrize("text", ["nan", "sNaN", "inf", "-Infinity", "1e999999", "-0.1", "x", "1 2"])
def test_an_option_that_is_no_number_within_its_bounds_is_refused(site: Stage, text: str) -> None:
    session_id = site.create()
    site.world.settle()
    person = site.person(Scope.OPERATE)
    path, target = f"/sessions/{session_id}/endpoint", f"/sessions/{session_id}/try"
    for option in ("temperature", "top_k"):
        refused = person.press(path, target, status=422, text="x", **{option: text})
        assert f"<code>{option}</code>" in refused.text
    assert site.get(f"/sessions/{session_id}")["interactions"] == 0


def test_a_text_may_have_as_many_characters_as_its_field_takes(site: Stage) -> None:
    session_id = site.create()
    site.world.settle()
    person = site.person(Scope.OPERATE)
    path, target = f"/sessions/{session_id}/endpoint", f"/sessions/{session_id}/try"
    person.press(path, target, status=200, text="a\r\n" * 3_999 + "ab")  # 8,000 in a browser's field
    person.press(path, target, status=422, text="a\r\n" * 3_999 + "abc")
