"""Turn a job's keyword arguments into a request, or into a refusal that names all their faults. A value that the
database or other readers of JSON cannot keep is one, at any depth."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.client.outcomes import plain
from orchestrator.client.requests import JOBS, CreateSession, Request
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.validation.locs import Loc, path_of
from orchestrator.validation.wording import did_you_mean, in_words

#: Faults listed for one request: enough to correct it, however large its batch.
MOST_FAULTS = 50
_PREFIX = "orchestrator."
#: A key as people write them; anything else could be a secret in the wrong place and is not repeated.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
#: (where, what is wrong, its kind)
JsonFault: TypeAlias = tuple[Loc, str, str]
DEEPEST = 32
#: The kind of a value that JSON has no type for.
NO_JSON_TYPE = "json_type"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 2**63
#: The types of the most common values.
_PLAIN = frozenset({str, bool, int, type(None)})


@dataclass(frozen=True, slots=True)
class RequestFault:
    """What is wrong with a request, and where; `loc` is empty where it is the request as a whole. A key that could be a
    secret is `?`."""

    loc: Loc
    sentence: str
    """With `{}` for each of the fields that it names."""
    kind: str
    names: Sequence[str] = ()

    @property
    def path(self) -> str:
        """The place, like `batch[3].count`; `request` for the whole."""
        return path_of(self.loc) or "request"

    def said(self, name_of: Callable[[str], str] = str) -> str:
        """Return the sentence; `name_of` gives fields other names."""
        return self.sentence.format(*map(name_of, self.names)) if self.names else self.sentence

    def as_json(self) -> dict[str, str]:
        return {"loc": self.path, "msg": self.said(), "type": self.kind}


_NOT_AN_OBJECT = RequestFault((), "the keyword arguments must be a JSON object", "dict_type")


class InvalidRequest(Refusal):
    """The keyword arguments are wrong: `faults` are all of them, `details` the first."""

    def __init__(self, faults: Sequence[RequestFault]) -> None:
        others = len(faults) - 1
        more = f" ({others} more fault{'s' * (others > 1)})" if others else ""
        message = f"{faults[0].path}: {faults[0].said()}{more}"
        details = [fault.as_json() for fault in faults[:MOST_FAULTS]]
        super().__init__(ErrorCode.INVALID_REQUEST, message, faults=details)
        self.faults = tuple(faults)


def parse(name: str, kwargs: Any) -> Request:
    """Return the request. Raises InvalidRequest with every fault, and Refusal for a job that does not exist."""
    job = needs_known_job(name)
    if not isinstance(kwargs, dict):
        raise InvalidRequest([_NOT_AN_OBJECT])
    unstorable = _listed(json_faults(kwargs))
    if unstorable:
        raise InvalidRequest(unstorable)
    try:
        return job.model_validate(kwargs)
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise InvalidRequest([_fault(detail) for detail in details])


def needs_known_job(name: str) -> type[Request]:
    """Return the request of the job with this name. Raises Refusal, with the nearest name, if there is none."""
    if name not in JOBS:
        verbs = [known.removeprefix(_PREFIX) for known in JOBS]
        nearest = did_you_mean(name.removeprefix(_PREFIX), verbs, prefix=_PREFIX)
        message = f"unknown job{nearest}" if nearest else f"unknown job; known are {', '.join(JOBS)}"
        raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[])
    return JOBS[name]


def arguments_of(request: Request | Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's keyword arguments as plain JSON, without what a request leaves out. A part may be a request too.

    Raises InvalidRequest that names each value which has no JSON type."""
    arguments = plain(request)
    if not isinstance(arguments, dict):
        raise InvalidRequest([_NOT_AN_OBJECT])
    faults = _listed(found for found in json_faults(arguments) if found[2] == NO_JSON_TYPE)
    if faults:
        raise InvalidRequest(faults)
    return arguments


def digest(request: CreateSession) -> str:
    """Return a digest that is the same for the same request, however it is written, under any session id. Defaults are
    left out, so that a field added later changes no digest."""
    return _digest(request.model_dump(mode="json", exclude={"session_id"}, exclude_defaults=True))


def fingerprint(request: Request | None, kwargs: Any) -> str | None:
    """Return a fingerprint that is the same for the same arguments, however they are written and whether defaults are
    spelled out.

    `request`: the parsed arguments; None if they are invalid: then they count as they came. Returns None for arguments
    that cannot be written as JSON."""
    if request is not None:
        return _digest(request.model_dump(mode="json", exclude_defaults=True))
    try:
        return _digest(kwargs)
    except (TypeError, ValueError, RecursionError):
        return None


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _listed(found: Iterable[tuple[Loc, str, str]]) -> list[RequestFault]:
    listed = islice(found, MOST_FAULTS)
    return [RequestFault(_shown(loc), sentence, kind) for loc, sentence, kind in listed]


def _fault(detail: ErrorDetails) -> RequestFault:
    sentence, names = in_words(detail, table="an object"), detail.get("ctx", {}).get("names", ())
    return RequestFault(_shown(detail["loc"]), sentence, detail["type"], names)


def _shown(loc: Loc) -> Loc:
    return tuple(part if isinstance(part, int) or _KEY.fullmatch(part) else "?" for part in loc)


def json_faults(arguments: dict[Any, Any]) -> Iterator[JsonFault]:
    """Go through the whole value without recursion; yield every part that is not plain, storable JSON."""
    waiting: list[tuple[Loc, Any]] = [((), arguments)]
    while waiting:
        loc, value = waiting.pop()
        if not isinstance(value, dict | list):
            yield from _of_scalar(loc, value)
        elif len(loc) > DEEPEST:
            yield loc, f"is nested more than {DEEPEST} deep", "too_deep"
        elif not (len(loc) < DEEPEST and _is_batch(value)):
            yield from _of_keys(loc, value)
            below = [((*loc, key), one) for key, one in _entries(value) if not _is_plain(one)]
            waiting += reversed(below)


def _entries(value: dict[Any, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, list):
        return iter(enumerate(value))
    return ((key, below) for key, below in value.items() if isinstance(key, str))


def _of_keys(loc: Loc, value: dict[Any, Any] | list[Any]) -> Iterator[JsonFault]:
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            yield loc, "has a key that is not a text", "key_type"
        elif not _is_storable(key):
            yield loc, "has a key with a NUL character or half a surrogate pair", "unstorable_text"


def _of_scalar(loc: Loc, value: Any) -> Iterator[JsonFault]:
    match value:
        case None | bool():
            return
        case str() if not _is_storable(value):
            yield loc, "holds a NUL character or half a surrogate pair", "unstorable_text"
        case int() if not -_LARGEST <= value < _LARGEST:
            yield loc, "is an integer beyond 64 bits", "integer_range"
        case float() if not math.isfinite(value):
            yield loc, "must be a finite number", "finite_number"
        case str() | int() | float():
            return
        case _:
            yield loc, "is not a JSON type", NO_JSON_TYPE


def _is_plain(value: Any) -> bool:
    """Return whether this is one of the most common values, which have no fault: batches have thousands of them."""
    kind = type(value)
    if kind is str:
        return _UNSTORABLE.search(value) is None
    return kind is bool or value is None or (kind is int and -_LARGEST <= value < _LARGEST)


def _is_batch(value: dict[Any, Any] | list[Any]) -> bool:
    """Return whether this is a list of objects that have only plain values under plain keys, like the items of a batch.
    All of them are looked at together: one by one, they took a fifth of a batch's CPU."""
    if {*map(type, value)} != {dict}:
        return False
    keys = {*chain.from_iterable(value)}
    values = [*chain.from_iterable(map(dict.values, value))]
    if not ({*map(type, keys)} <= {str} and {*map(type, values)} <= _PLAIN):
        return False
    numbers = [one for one in values if type(one) is int]
    in_range = not numbers or (min(numbers) >= -_LARGEST and max(numbers) < _LARGEST)
    return in_range and _is_storable("".join(keys)) and _is_storable("".join(map(str, values)))


def _is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None
