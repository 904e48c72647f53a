"""Raw messages as any client may put them into a queue: valid ones, every shape known to be wrong, and mutants."""

import base64
import json
import random
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from orchestrator.rules.installation.message_size import LARGEST_BODY, LARGEST_ENTRY, MOST_VALUES

Json: TypeAlias = dict[str, Any]

JOBS = "orchestrator.jobs"
QUEUES = (JOBS, *(f"orchestrator.{kind}" for kind in ("control", "stop", "close", "open", "ping")))
EMBED: Json = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
#: Tasks that change nothing: a close of a session that is unknown, and a wake-up.
TASKS = ("orchestrator.session.close", "orchestrator.tick.events")


def valid(task: str = TASKS[0], queue: str = JOBS, task_id: str | None = None) -> Json:
    """Return a message as Celery sends it."""
    task_id = task_id or str(uuid.uuid4())
    kwargs = {"session_id": "unknown"} if task == TASKS[0] else {}
    return {
        "body": coded([[], kwargs, EMBED]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers(task, task_id),
        "properties": {
            "correlation_id": task_id,
            "reply_to": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def _headers(task: str, task_id: str) -> Json:
    nothing = ("shadow", "eta", "expires", "group", "group_index", "parent_id", "stamped_headers")
    return {
        "lang": "py",
        "task": task,
        "id": task_id,
        **dict.fromkeys(nothing),
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "gen1@host",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamps": {},
    }


def coded(value: Any) -> str:
    """Return a body as its bytes are in the queue."""
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


def with_body(body: Any) -> bytes:
    return raw(valid() | {"body": coded(body)})


def with_header(**changes: Any) -> bytes:
    message = valid()
    return raw(message | {"headers": message["headers"] | changes})


def without(name: str, part: str | None = None) -> bytes:
    message = valid()
    del (message[part] if part else message)[name]
    return raw(message)


def with_property(**changes: Any) -> bytes:
    message = valid()
    return raw(message | {"properties": message["properties"] | changes})


def raw(message: Any) -> bytes:
    return json.dumps(message).encode()


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def _many(value: bytes, size: int) -> bytes:
    """Return the JSON of a body of about this size, whose values take many times as much."""
    return b'[[], {"session_id": [' + b",".join([value] * (size // (len(value) + 1))) + b"]}, {}]"


def compressed(body: bytes) -> bytes:
    message = valid()
    headers = message["headers"] | {"compression": "application/x-gzip"}
    return raw(message | {"body": coded(zlib.compress(body, 9)), "headers": headers})


PRIORITIES: tuple[Any, ...] = (None, -1, 99, "9", [], 1e400, 2.5)
#: Every one of these is parked.
WRONG: Mapping[str, bytes] = {
    "no JSON": b"hello",
    "nothing": b"",
    "bytes": b"\x00\xff\xfe",
    "null": b"null",
    "number": b"7",
    "text": b'"text"',
    "list": b"[]",
    "empty object": b"{}",
    "cut off": raw(valid())[:-20],
    "deep": _deep(100_000),
    "too large": b'"' + b"x" * LARGEST_ENTRY + b'"',
    "a number without end": b"9" * 10_000,
    "one of kombu's own types": raw(valid() | {"headers": {"__type__": "decimal", "__value__": "x"}}),
    "body of two": with_body([[], {}]),
    "body of four": with_body([[], {}, {}, {}]),
    "body null": with_body(None),
    "body number": with_body(7),
    "body empty list": with_body([]),
    "body text": with_body("text"),
    "body object": with_body({"a": 1}),
    "body empty": raw(valid() | {"body": ""}),
    "body absent": without("body"),
    "body no text": raw(valid() | {"body": {}}),
    "body no JSON": with_body(b"not JSON"),
    "body no UTF-8": with_body(b"\xff\xfe"),
    "body deep": with_body(_deep(100_000)),
    "body of kombu's own types": with_body([[], {"a": {"__type__": "uuid", "__value__": 1}}, {}]),
    "bad base64": raw(valid() | {"body": "a"}),
    "plain text under base64": raw(valid() | {"body": "[[], {}, {}]"}),
    "lone surrogate": raw(valid() | {"body": "\ud800"}),
    "lone surrogate as text": with_property(body_encoding=None)[:-1] + b', "body": "\\ud800"}',
    "unknown encoding of the body": with_property(body_encoding="rot13"),
    "encoding of the body a list": with_property(body_encoding=[]),
    "args a number": with_body([7, {}, EMBED]),
    "kwargs a list": with_body([[], [1], EMBED]),
    "embed a list": with_body([[], {}, [1]]),
    "content type missing": without("content-type"),
    "content type a list": raw(valid() | {"content-type": []}),
    "content type of pickle": raw(valid() | {"content-type": "application/x-python-serialize"}),
    "content type unknown": raw(valid() | {"content-type": "text/else"}),
    "content encoding a dict": raw(valid() | {"content-encoding": {}}),
    "headers missing": without("headers"),
    "headers a list": raw(valid() | {"headers": [1]}),
    "headers text": raw(valid() | {"headers": "x"}),
    "task missing": without("task", "headers"),
    "id missing": without("id", "headers"),
    "task unknown": with_header(task="some.other.task"),
    "task of a newer release": with_header(task="orchestrator.session.dance"),
    **{f"{name} a dict": with_header(**{name: {}}) for name in ("task", "id", "expires", "eta", "shadow")},
    **{
        f"{name} a list": with_header(**{name: [1]}) for name in ("task", "id", "retries", "group", "root_id")
    },
    "id long": with_header(id="x" * 3000),
    "id empty": with_header(id=""),
    "id with control characters": with_header(id="a\x1b[2J\n"),
    "id a lone surrogate": with_header(id="\ud800"),
    "expires text": with_header(expires="soon"),
    "eta text": with_header(eta="soon"),
    "eta beyond time": with_header(eta="9999-12-31T23:59:59-23:00"),
    "timelimit text": with_header(timelimit="text"),
    "timelimit of three": with_header(timelimit=[1, 2, 3]),
    "ignore_result odd": with_header(ignore_result="odd"),
    "argsrepr a dict": with_header(argsrepr={}),
    "stamps a list": with_header(stamps=[1], stamped_headers=[1]),
    **{f"{name} a number": with_body([[], {}, {name: 7}]) for name in EMBED},
    **{f"{name} of none": with_body([[], {}, {name: [{}]}]) for name in EMBED},
    "compression unknown": with_header(compression="application/x-none"),
    "compression a dict": with_header(compression={"a": 1}),
    "compression of a plain body": with_header(compression="application/x-gzip"),
    "compression cannot be bounded": with_header(compression="application/x-bz2"),
    "a bomb": compressed(b"0" * 200_000_000),
    **{
        f"a bomb of {value!r}": compressed(_many(value, LARGEST_BODY - 100))
        for value in (b"[]", b"{}", b"1", b'"a"', b'{"\\u0000":{}}')
    },
    "a large body of small values": with_body(_many(b"[]", LARGEST_BODY - 100)),
    "a large body": with_body(_many(b'"' + b"x" * 2**20 + b'"', LARGEST_BODY + 2**21)),
    "a large body of text": raw(
        valid()
        | {
            "body": _many(b"{}", LARGEST_BODY).decode(),
            "properties": valid()["properties"] | {"body_encoding": None},
        }
    ),
    "many headers": with_header(**{f"h{n}": [] for n in range(MOST_VALUES)}),
    "stamps of many": with_header(stamps={"a": [[]] * MOST_VALUES}),
    "properties missing": without("properties"),
    "properties a list": raw(valid() | {"properties": [1]}),
    "delivery_info text": with_property(delivery_info="x"),
    "correlation_id a dict": with_property(correlation_id={}),
    "reply_to a list": with_property(reply_to=[1]),
    "first protocol without id": raw(
        valid() | {"headers": {}, "body": coded({"task": TASKS[0], "kwargs": {}})}
    ),
    "first protocol of a list": raw(valid() | {"headers": {}}),
}
#: These are odd, and carried out, answered or dropped anyway.
ODD: Mapping[str, bytes] = {
    "valid": raw(valid()),
    "a task follows a failure": with_body([[], {"session_id": "x"}, {"errbacks": [{"task": "x"}]}]),
    "a task follows": with_body([[], {"session_id": "x"}, {"callbacks": [{"task": "x"}]}]),
    "a chord follows": with_body([[], {"session_id": "x"}, {"chord": {"task": "x"}}]),
    "duplicate keys": raw(valid())[:-1] + b', "content-type": "application/json"}',
    "content encoding unknown": raw(valid() | {"content-encoding": "utf-99"}),
    "delivery_tag missing": without("delivery_tag", "properties"),
    "delivery_tag a list": with_property(delivery_tag=[1]),
    "delivery_tag taken": with_property(delivery_tag="taken"),
    "delivery_tag taken again": with_property(delivery_tag="taken"),
    "delivery_info missing": without("delivery_info", "properties"),
    "delivery_info empty": with_property(delivery_info={}),
    "delivery_info of another queue": with_property(
        delivery_info={"exchange": "x", "routing_key": "nowhere"}
    ),
    **{f"priority {value!r}": with_property(priority=value) for value in PRIORITIES},
    "NaN in the arguments": with_body(b'[[], {"session_id": NaN}, {}]'),
    "a large number in the arguments": with_body([[], {"session_id": 10**400}, {}]),
    "lone surrogate in the arguments": with_body([[], {"session_id": "\ud800"}, {}]),
    "arguments by position": with_body([["x"], {}, EMBED]),
    "deep arguments": with_body([[], {"session_id": json.loads(_deep(200))}, {}]),
    "called_directly": with_header(called_directly=True, delivery_info=None, is_eager=True),
    "embed with a request's attributes": with_body([[], {}, {"delivery_info": None, "args": 1, "id": {}}]),
    "compressed": compressed(json.dumps([[], {"session_id": "x"}, {}]).encode()),
    "as much as a body may hold": compressed(
        _many(b'"' + "\U0001f600".encode() * 2**18 + b'"', LARGEST_BODY - 2**20)
    ),
    "as many values as a body may have": compressed(_many(b"{}", 3 * (MOST_VALUES // 2 - 10))),
    "first protocol": raw(
        valid()
        | {
            "headers": {},
            "body": coded({"task": TASKS[0], "id": "first", "args": [], "kwargs": {"session_id": "x"}}),
        }
    ),
    "eta next year": with_header(eta="2099-01-01T00:00:00"),
    "expired": with_header(expires="2020-01-01T00:00:00+00:00"),
    "a wake-up of a newer release": with_header(task="orchestrator.tick.dance"),
    "a wake-up with arguments": with_header(task="orchestrator.tick.events"),
}

#: Values for places where others are expected.
STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**70, 1.5, float("nan"), float("inf"), "", "x", "\x00", "\ud800", "é" * 300),
    *([], {}, [[]], {"a": 1}, [None, None], {"__type__": "bytes", "__value__": "x"}),
    *("2020-01-01", "application/x-gzip", "base64"),
)


def mutants(seed: int, count: int, queue: str) -> Iterator[bytes]:
    """Yield `count` messages, each a valid or a known wrong one with something changed; the same for the same seed."""
    rng = random.Random(seed)
    known = [*WRONG.values(), *ODD.values()]
    small = [entry for entry in known if len(entry) < 10_000]
    for _ in range(count):
        kind = rng.random()
        if kind < 0.55:
            yield raw(_structurally(rng, valid(rng.choice(TASKS), queue, f"m-{rng.getrandbits(64):x}")))
        elif kind < 0.75:
            yield _bytewise(rng, raw(valid(rng.choice(TASKS), queue)))
        elif kind < 0.9:
            yield _bytewise(rng, rng.choice(small))
        elif kind < 0.93:
            yield rng.randbytes(rng.randrange(200))
        else:
            yield rng.choice(small)


def _structurally(rng: random.Random, message: Any) -> Any:
    """Change one to three values, in the message or in its body."""
    body: Any = json.loads(base64.b64decode(message["body"]))
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.3:
            body = _changed(rng, body)
        elif isinstance(message, dict):
            message = _changed(rng, message)
    if not isinstance(message, dict):
        return message
    if rng.random() < 0.9 and "body" in message:
        message["body"] = coded(_bytewise(rng, json.dumps(body).encode()) if rng.random() < 0.1 else body)
    return message


def _changed(rng: random.Random, value: Any) -> Any:
    """Return the value with something below it replaced, dropped or added."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return deepcopy(rng.choice(STRANGE))
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    act: Callable[[], Any] = rng.choice(
        [lambda: _dropped(value, key), lambda: _added(rng, value), lambda: None]
    )
    act() if rng.random() < 0.3 else value.__setitem__(key, _changed(rng, value[key]))
    return value


def _dropped(value: Any, key: Any) -> None:
    del value[key]


def _added(rng: random.Random, value: Any) -> None:
    if isinstance(value, dict):
        value[rng.choice(["compression", "called_directly", "delivery_info", "chord", "task", "id", "x"])] = (
            deepcopy(rng.choice(STRANGE))
        )
    else:
        value.append(deepcopy(rng.choice(STRANGE)))


def _bytewise(rng: random.Random, entry: bytes) -> bytes:
    """Flip, drop or double a few bytes."""
    changed = bytearray(entry)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randint(1, 8)]
            case _:
                changed[at:at] = changed[at : at + rng.randint(1, 8)]
    return bytes(changed)
