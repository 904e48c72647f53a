"""Which messages may reach a task: each part that a library reads is checked, and only checked parts are passed on."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.installation.delivery_times import NOT_AFTER, NOT_BEFORE, RETRY_AFTER
from orchestrator.rules.installation.message_head import shape_of, shown_name
from orchestrator.rules.installation.messages import (
    MOST_RETRIES,
    UnreadableMessage,
    Unsupported,
    clean_entry,
    read_task,
    read_unacked,
    task_id_fault,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = [[], {"session_id": "s"}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
HEADERS: dict[str, Any] = {"task": "orchestrator.session.close", "id": "t-1", "lang": "py"}
PROPERTIES: dict[str, Any] = {"body_encoding": "base64", "delivery_tag": "theirs", "priority": 3}
ENTRY: dict[str, Any] = {
    "body": base64.b64encode(json.dumps(BODY).encode()).decode(),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": HEADERS,
    "properties": PROPERTIES,
}
NO_OBJECTS: tuple[Any, ...] = (None, 1, True, "text", [], [{}])
NO_TEXTS: tuple[Any, ...] = (None, 1, [], {})
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)


def entry(**changes: Any) -> dict[str, Any]:
    return ENTRY | {name.replace("_", "-"): value for name, value in changes.items()}


def properties(**changes: Any) -> dict[str, Any]:
    return entry(properties=PROPERTIES | changes)


def test_an_entry_goes_back_to_the_queue_that_it_came_from_under_a_tag_of_ours() -> None:
    clean = clean_entry(properties(delivery_info={"exchange": "x", "redelivered": True}), "jobs", "ours")
    assert clean["properties"] == {
        "body_encoding": "base64",
        "correlation_id": None,
        "reply_to": None,
        "priority": 3,
        "delivery_tag": "ours",
        "delivery_info": {"exchange": "", "routing_key": "jobs", "redelivered": True},
    }
    assert (clean["body"], clean["headers"]) == (ENTRY["body"], HEADERS)


@pytest.mark.parametrize("priority", [None, "9", -1, 10, [], 2.5])
def test_a_priority_that_is_none_is_the_default(priority: Any) -> None:
    assert clean_entry(properties(priority=priority), "jobs", "t")["properties"]["priority"] == 0


@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_a_body_may_come_as_text(encoding: str | None) -> None:
    plain = entry(body=json.dumps(BODY), properties=PROPERTIES | {"body_encoding": encoding})
    assert clean_entry(plain, "jobs", "t")["body"] == json.dumps(BODY)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [pytest.param(value, "the entry is not a JSON object", id=f"entry {value!r}") for value in NO_OBJECTS]
    + [pytest.param(entry(body=value), "the body is not text", id=f"body {value!r}") for value in NO_TEXTS]
    + [
        pytest.param(entry(**{name: []}), f"{name.replace('_', '-')} is not", id=f"{name} a list")
        for name in ("headers", "properties", "content_type", "content_encoding")
    ]
    + [
        pytest.param(properties(**{name: [1]}), f"{name} is not", id=f"{name} a list")
        for name in ("delivery_info", "correlation_id", "reply_to")
    ]
    + [
        pytest.param(properties(body_encoding="rot13"), "body_encoding is neither", id="an unknown encoding"),
        pytest.param(properties(body_encoding={}), "body_encoding is neither", id="an encoding that is none"),
        pytest.param(entry(body="a"), "the body is not base64", id="bad base64"),
        pytest.param(entry(body="ä"), "the body is not base64", id="text under base64"),
    ],
)
def test_an_entry_that_no_transport_can_take(wrong: Any, why: str) -> None:
    with pytest.raises(UnreadableMessage, match=why):
        clean_entry(wrong, "jobs", "t")


@given(ANY_JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRY, ANY_JSON)))
def test_no_entry_is_a_surprise(value: Any) -> None:
    try:
        clean = clean_entry(value, "jobs", "t")
    except UnreadableMessage:
        return
    assert isinstance(clean["body"], str)
    assert isinstance(clean["headers"], dict)


def read(headers: Any = HEADERS, payload: Any = BODY, **changes: Any) -> Any:
    return read_task({**headers, **changes} if isinstance(headers, dict) else headers, payload, NOW)


def test_a_task_is_passed_on_with_what_was_checked_and_nothing_else() -> None:
    strange = {
        "called_directly": True,
        "delivery_info": {},
        "shadow": "x",
        "argsrepr": "sk-1",
        "orchestrator_list": [],
    }
    task = read(**strange, orchestrator_failures=3, orchestrator_at=1.5, retries=2, group=None)
    kept = {"orchestrator_failures": 3, "orchestrator_at": 1.5, "retries": 2}
    assert task.headers == {**HEADERS, **kept}
    assert (task.args, task.kwargs) == ([], {"session_id": "s"})


def test_an_endless_number_in_a_header_of_ours_is_left_out() -> None:
    assert "orchestrator_at" not in read(orchestrator_at=float("inf")).headers


@pytest.mark.parametrize("headers", [{}, {"group": "g"}])
def test_a_message_of_the_first_protocol_is_read_too(headers: dict[str, Any]) -> None:
    first = {
        "task": "a",
        "id": "b",
        "args": None,
        "kwargs": {"x": 1},
        "retries": 1,
    }
    task = read(headers, first)
    assert task.headers == {"task": "a", "id": "b", "lang": "py", "retries": 1, **headers}
    assert (task.args, task.kwargs) == ([], {"x": 1})


def test_a_count_of_retries_can_be_increased() -> None:
    assert read(retries=2**31 - 1).headers["retries"] == MOST_RETRIES


BODIES: list[Any] = [
    {},
    {"a": 1},
    None,
    1,
    "text",
    b"bytes",
    [],
    [[], {}],
    [[], {}, {}, {}],
    [1, {}, {}],
    [[], [], {}],
    [[], {1: 2}, {}],
    [[], {}, []],
]
WRONG_HEADERS: dict[str, tuple[Any, ...]] = {
    "task": (None, {}, [], "", "x" * 201, "a\nb", 1),
    "id": (None, {}, [], "", "x" * 256, "x" * 3000, "a\x00b", "\ud800", 7),
    "expires": ({}, "soon", 5, [], "0001-01-01T00:00:00+23:00"),
    "eta": ({}, "soon", 5, [], "9999-12-31T23:59:59-23:00"),
    NOT_BEFORE: ({}, "soon", 5, ""),
    NOT_AFTER: ({}, "soon", 5, ""),
    "retries": ([], "1", -1, True, 2**31, 1.5),
    "timelimit": ("text", [1], [1, "x"], 5, {}, [True, 1]),
    "ignore_result": ("odd", 1, [], {}),
    "group": ([], {}, 1, "a\nb", "x" * 1025),
    "root_id": ([],),
    "parent_id": ({},),
    "origin": (3,),
    "shadow": ({},),
    "argsrepr": ({},),
    "kwargsrepr": (1,),
    "lang": ([],),
    "group_index": ("x",),
    "replaced_task_nesting": ({},),
    "stamped_headers": ("x", [1]),
    "stamps": ([],),
    "utc": ("yes",),
    RETRY_AFTER: ("5", -1, 60.5, 1e300, float("nan"), True, [], {}),
}


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_a_body_that_no_task_can_take(body: Any) -> None:
    with pytest.raises(UnreadableMessage, match=r"the body|arguments|third part"):
        read(payload=body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name} {ascii(value)[:20]}")
        for name, values in WRONG_HEADERS.items()
        for value in values
    ],
)
def test_a_header_that_no_request_can_take(name: str, value: Any) -> None:
    with pytest.raises(UnreadableMessage):
        read(**{name: value})


@pytest.mark.parametrize("name", ["callbacks", "errbacks", "chain", "chord"])
@pytest.mark.parametrize("value", ["x", 1, [1], [{}], {"task": 7}, [{"task": "next"}, {"task": "a\nb"}]])
def test_what_follows_a_job_must_be_tasks(name: str, value: Any) -> None:
    with pytest.raises(UnreadableMessage, match=f"{name} names no tasks") as refused:
        read(payload=[[], {}, {name: value}])
    assert not isinstance(refused.value, Unsupported)


@pytest.mark.parametrize(
    ("name", "value"),
    [("callbacks", [{"task": "next"}]), ("chain", [{"task": "next"}]), ("chord", {"task": "next"})],
)
def test_a_job_that_others_are_to_follow_is_refused_and_its_sender_knows_why(name: str, value: Any) -> None:
    with pytest.raises(Unsupported, match=f"{name} is not supported: wait for the job's outcome"):
        read(payload=[[], {}, {name: value}])
    with pytest.raises(UnreadableMessage, match="task id") as unanswerable:
        read(payload=[[], {}, {name: value}], id="a\nb")
    assert not isinstance(unanswerable.value, Unsupported), "it is parked"


def test_what_follows_a_failure_is_left_out_for_no_job_fails() -> None:
    assert read(payload=[[], {"session_id": "s"}, {"errbacks": [{"task": "next"}]}]).kwargs == {
        "session_id": "s"
    }


def test_headers_must_be_an_object() -> None:
    with pytest.raises(UnreadableMessage, match="headers"):
        read([])


@given(
    ANY_JSON
    | st.fixed_dictionaries({}, optional=dict.fromkeys((*WRONG_HEADERS, "args", "kwargs"), ANY_JSON)),
    ANY_JSON | st.tuples(ANY_JSON, ANY_JSON, ANY_JSON).map(list),
)
def test_no_message_is_a_surprise(headers: Any, payload: Any) -> None:
    try:
        task = read_task(headers, payload, NOW)
    except UnreadableMessage:
        return
    assert task_id_fault(task.headers["id"]) is None


@pytest.mark.parametrize("task_id", ["a", "x" * 255, "ein Auftrag", "é" * 255])
def test_task_ids_that_can_be_kept(task_id: str) -> None:
    assert task_id_fault(task_id) is None


# what is shown


def test_a_message_is_shown_by_its_structure_alone() -> None:
    value = {
        "kwargs": {"sk-secret": "sk-secret", "account_id": "acme", "nodes": 3},
        "args": [None, True, 1.5, b"x", {1}],
    }
    shown = shape_of(value, {"kwargs", "args", "account_id", "nodes"})
    assert shown == (
        "{kwargs: {?: text(9), account_id: text(4), nodes: number}, args: [null, boolean, number, text(1), other]}"
    )


def test_what_is_shown_is_bounded() -> None:
    deep: Any = {}
    for _ in range(50):
        deep = {"a": [deep]}
    assert shape_of(deep, {"a"}) == "{a: [{a: [{a: list(1)}]}]}"
    assert shape_of([[[[[{}]]]]], ()) == "[[[[[object(0)]]]]]"
    assert shape_of(list(range(100)), ()) == "list(100)"
    assert shape_of({str(n): n for n in range(100)}, ()).count("?") == 16
    wide = {f"name_{n}": {f"name_{m}": "x" for m in range(16)} for n in range(16)}
    assert len(shape_of(wide, {f"name_{n}" for n in range(16)})) == 600


@pytest.mark.parametrize(
    ("name", "shown"),
    [(None, None), ({}, None), ("a.b", "a.b"), ("\x1b[2Ja\nb", "[2Jab"), ("x" * 3000, "x" * 79 + "…")],
)
def test_names_are_shown_without_what_cannot_be_printed(name: Any, shown: str | None) -> None:
    assert shown_name(name) == shown


@given(ANY_JSON)
def test_no_text_is_shown(value: Any) -> None:
    assert "sk-secret" not in shape_of(
        {"sk-secret": value, "a": ["sk-secret"], "b": {"sk-secret": 1}}, {"a", "b"}
    )


@pytest.mark.parametrize(
    "entry",
    [
        *(
            None,
            7,
            "text",
            {},
            [],
            [1],
            [{}, 1, 2],
            [{}, "", ""],
            [{}, "", None],
            [{}, [], "q"],
            [{}, "", "q", 1],
        ),
        *([{}, "", "a\nb"], [{}, "\ud800", "q"], [{}, "", "\ud800"], [{}, "", "x" * 2000]),
    ],
)
def test_an_unacknowledged_entry_of_another_shape_is_unreadable(entry: Any) -> None:
    with pytest.raises(UnreadableMessage, match="the unacknowledged entry"):
        read_unacked(entry)


def test_an_unacknowledged_message_goes_back_as_one_delivered_again() -> None:
    message = {"body": "e30=", "properties": {"body_encoding": "base64", "delivery_info": None}}
    clean = read_unacked([message, "", "jobs"]).addressed_to("jobs", "tag")
    assert clean["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": "jobs",
        "redelivered": True,
    }
    assert (clean["body"], clean["properties"]["delivery_tag"]) == ("e30=", "tag")
