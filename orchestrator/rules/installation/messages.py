"""Which messages may reach a task. A message that may not is parked: kept aside, and never delivered again by itself.

Three questions, one for each place where a message is read:

clean_entry  a raw entry of a Redis list, before the transport makes a message of it
read_unacked an entry of Redis' hash of unacknowledged messages, before it goes back to its queue
read_task    a decoded message of any transport, before the worker makes a request of it

All return only what was checked, so that nothing else reaches the libraries behind them. Their errors say what is
wrong by the names of fields, never by their contents.
"""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.rules.installation.delivery_times import (
    LONGEST_RETRY_AFTER,
    NOT_AFTER,
    NOT_BEFORE,
    RETRY_AFTER,
    instant,
    timed,
)

#: Longest task id that the inbox keeps, in characters.
LONGEST_TASK_ID = 255
#: Longest name of a task, and longest text in any other header.
LONGEST_NAME, LONGEST_TEXT = 200, 1024
#: The most retries that a message counts.
MOST_RETRIES = 2**20
#: The prefix of our own headers.
OWN_HEADER = "orchestrator_"
#: The header that names who sent a job, for the session's history. It authenticates no one: any process that
#: reaches the broker may send any job.
AUTHOR = "orchestrator_author"
#: Longest name of an author that is kept.
LONGEST_AUTHOR = 100


class UnreadableMessage(Exception):
    """The message cannot be carried out. The text says why, without the message's contents."""


class Unsupported(UnreadableMessage):
    """The message is well-formed and asks for something that is not done here. Its sender is answered; it is not
    parked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedMessage:
    """What is known of a parked message, and may be shown."""

    id: str
    parked_at: datetime
    queue: str
    reason: str
    task: str | None
    task_id: str | None
    size: int
    """The size of the message, in bytes."""
    head: str
    """Its structure, without its contents."""
    kept_as: str | None = None
    """The key under which the broker keeps the message itself; None: it is not kept, and cannot be sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMessage:
    """The parts of a message that were checked."""

    headers: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnackedMessage:
    """A message that its worker has not acknowledged, and its queue."""

    message: Any
    """The message as it was in its queue; not checked."""
    exchange: str
    routing_key: str

    def addressed_to(self, queue: str, tag: str) -> dict[str, Any]:
        """Return the message with only what the transport needs, marked as delivered again to `queue`."""
        clean = clean_entry(self.message, queue, tag)
        clean["properties"]["delivery_info"]["redelivered"] = True
        return clean


def task_id_fault(task_id: Any) -> str | None:
    """Return why no outcome can be saved under this task id; None if one can."""
    if not isinstance(task_id, str) or not task_id:
        return "the task id must be text"
    if len(task_id) > LONGEST_TASK_ID:
        return f"the task id has more than {LONGEST_TASK_ID} characters: use a UUID"
    if not task_id.isprintable():
        return "the task id has characters that cannot be printed: use a UUID"
    return None


def clean_entry(entry: Any, queue: str, tag: str) -> dict[str, Any]:
    """Return the entry with only what the transport needs, addressed to `queue` and under a delivery tag of ours."""
    if not isinstance(entry, dict):
        raise UnreadableMessage("the entry is not a JSON object")
    properties = _object(entry, "properties")
    encoding = properties.get("body_encoding")
    body = entry.get("body")
    if not isinstance(body, str):
        raise UnreadableMessage("the body is not text")
    _check_encoding(body, encoding)
    redelivered = _object(properties, "delivery_info").get("redelivered") is True
    return {
        "body": body,
        "content-type": _text(entry, "content-type"),
        "content-encoding": _text(entry, "content-encoding"),
        "headers": _object(entry, "headers"),
        "properties": {
            "body_encoding": encoding,
            "correlation_id": _text(properties, "correlation_id"),
            "reply_to": _text(properties, "reply_to"),
            "priority": _priority(properties.get("priority")),
            "delivery_tag": tag,
            # the default exchange: the message goes back to its own queue
            "delivery_info": {"exchange": "", "routing_key": queue, "redelivered": redelivered},
        },
    }


def read_unacked(entry: Any) -> UnackedMessage:
    """Return the message of an unacknowledged entry, and the queue that it goes back to."""
    if not isinstance(entry, list) or len(entry) != 3:
        raise UnreadableMessage("the unacknowledged entry is not [message, exchange, routing key]")
    message, exchange, routing_key = entry
    if not _is_text(exchange) or not _is_text(routing_key) or not routing_key:
        raise UnreadableMessage("the unacknowledged entry names no queue")
    return UnackedMessage(message=message, exchange=exchange, routing_key=routing_key)


def read_task(headers: Any, payload: Any, now: datetime) -> TaskMessage:
    """Return the task of a decoded message, in any version of Celery's protocol. `now`: by this machine's clock."""
    fields = _fields(headers, payload)
    args, kwargs, follows = _contents(payload)
    _check_name(fields.get("task"))
    fault = task_id_fault(fields.get("id"))
    if fault is not None:
        raise UnreadableMessage(fault)
    for name, (fits, wanted) in _HEADERS.items():
        if fields.get(name) is not None and not fits(fields[name]):
            raise UnreadableMessage(f"the header {name} is not {wanted}")
    if follows is not None:
        raise Unsupported(f"{follows} is not supported: wait for the job's outcome, then send the next")
    return TaskMessage(headers=_kept(fields) | timed(fields, now), args=args, kwargs=kwargs)


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a JSON object; a missing one is empty."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableMessage(f"{name} is not a JSON object")
    return value


def _text(parent: Mapping[str, Any], name: str) -> str | None:
    value = parent.get(name)
    if value is not None and not _is_text(value):
        raise UnreadableMessage(f"{name} is not text")
    return value


def _check_encoding(body: str, encoding: Any) -> None:
    if encoding is None or encoding == "utf-8":
        return
    if encoding != "base64":
        raise UnreadableMessage("body_encoding is neither base64 nor utf-8")
    try:
        base64.b64decode(body.encode("ascii"))
    except ValueError:
        raise UnreadableMessage("the body is not base64") from None


def _priority(value: Any) -> int:
    if isinstance(value, int) and 0 <= value <= 9:
        return int(value)
    return 0  # any other value means the default, as in the transport


def _fields(headers: Any, payload: Any) -> Mapping[str, Any]:
    """Return the headers of protocol 2, the fields of the body of protocol 1, or both of a hybrid."""
    if not isinstance(headers, Mapping):
        raise UnreadableMessage("headers is not a JSON object")
    if isinstance(payload, dict):
        return {**payload, **headers}
    return headers


def _contents(payload: Any) -> tuple[list[Any], dict[str, Any], str | None]:
    """Return the arguments, and the field in which other tasks are named to follow, if any."""
    if isinstance(payload, dict) and not _NAMED.isdisjoint(payload):
        args, kwargs, embed = payload.get("args") or [], payload.get("kwargs") or {}, payload
    elif isinstance(payload, list | tuple) and len(payload) == 3:
        args, kwargs, embed = payload
    else:
        raise UnreadableMessage("the body is not [args, kwargs, embed]")
    if not isinstance(args, list | tuple):
        raise UnreadableMessage("the arguments are not a list")
    if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
        raise UnreadableMessage("the keyword arguments are not a JSON object")
    return list(args), kwargs, _following(embed)


def _following(embed: Any) -> str | None:
    """Return the field in which a task names others to follow it, if any.

    None is sent from here: this application does not know their queues, and one that cannot be sent would turn a
    finished job into a failure."""
    if embed is not None and not isinstance(embed, dict):
        raise UnreadableMessage("the third part of the body is not a JSON object")
    given = {name: (embed or {}).get(name) for name in (*_FOLLOWING, _AFTER_A_FAILURE)}
    for name, value in given.items():
        if value and not _names_tasks(value):
            raise UnreadableMessage(f"{name} names no tasks")
    return next((name for name in _FOLLOWING if given[name]), None)


def _names_tasks(value: Any) -> bool:
    tasks = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(one, dict) and _is_text(one.get("task")) for one in tasks)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise UnreadableMessage("the message names no task")


def _kept(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return only headers that were checked: a request would take any other as an attribute of its own."""
    known = {name: fields[name] for name in _PASSED_ON if fields.get(name) is not None}
    if "retries" in known:
        known["retries"] = min(known["retries"], MOST_RETRIES)  # one more must be a count as well
    own = {name: value for name, value in fields.items() if _is_own(name) and _is_scalar(value)}
    return {**own, **known, "task": fields["task"], "id": fields["id"], "lang": "py"}


def _is_own(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(OWN_HEADER) and name.isprintable()


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, int) or _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_TEXT


def _is_any_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_short_wait(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= LONGEST_RETRY_AFTER


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_instant(value: Any) -> bool:
    try:
        instant(value)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return False
    return True


def _are_limits(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_limit, value))


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


#: Fields of the body that are objects, in Celery's first protocol.
_NAMED = frozenset({"task", "args", "kwargs"})
_Check = tuple[Callable[[Any], bool], str]
#: Every header that Celery reads → what it must be if it is given.
_HEADERS: Mapping[str, _Check] = {
    **dict.fromkeys(
        ("root_id", "parent_id", "group", "origin", "lang", "meth", "shadow"), (_is_text, "text")
    ),
    **dict.fromkeys(("argsrepr", "kwargsrepr"), (_is_any_text, "text")),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting"), (_is_count, "a count")),
    **dict.fromkeys(("ignore_result", "utc"), (_is_flag, "true or false")),
    **dict.fromkeys(
        ("eta", "expires", NOT_BEFORE, NOT_AFTER), (_is_instant, "an instant as ISO 8601 writes it")
    ),
    "timelimit": (_are_limits, "a pair of seconds"),
    RETRY_AFTER: (_is_short_wait, f"a number of seconds up to {LONGEST_RETRY_AFTER}"),
    "stamped_headers": (_are_texts, "a list of names"),
    "stamps": (_is_object, "a JSON object"),
}
#: Fields with tasks that follow a success, and those that follow a failure: no job fails here, each has an outcome.
_FOLLOWING, _AFTER_A_FAILURE = ("callbacks", "chain", "chord"), "errbacks"
#: Headers that a request needs. Not the texts of the arguments, which logs would repeat.
_PASSED_ON = (
    "root_id",
    "parent_id",
    "group",
    "group_index",
    "retries",
    "ignore_result",
    "origin",
)
