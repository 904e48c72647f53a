"""Calls of a plain JSON control API, written in the configuration: what is sent, and where answers say what.

`{placeholders}` stand in URLs, headers and bodies; a dotted path (`data.items.0.id`) points into an answer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from orchestrator.providers.driver import Auth, Life, Order, Secret, Target
from orchestrator.providers.http import Call
from orchestrator.providers.paths import JsonPath, read_path, read_text

_PLACEHOLDER = re.compile(r"\{(\w+)\}")

#: What both an order and a placement know.
_ALWAYS = frozenset({"placement_id", "name", "model"})


class CallTable(BaseModel):
    """One call."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    #: What its placeholders may be, besides those that every call has.
    more: ClassVar[frozenset[str]] = frozenset()

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: str = Field(pattern=r"^(?:https?://[^/\s{}]+)?/\S*$|^https?://[^/\s{}]+$")
    """Absolute, or a path below `base_url`. No placeholder in the host: a secret goes where we say."""
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: Any = None
    """Any JSON; a text that is one whole placeholder becomes its value, numbers as numbers."""
    success_statuses: tuple[int, ...] = (200, 201, 202, 204)

    @field_validator("url", "body")
    @classmethod
    def _known(cls, value: Any) -> Any:
        _check(_texts(value), cls.more | _ALWAYS)
        return value

    @field_validator("headers")
    @classmethod
    def _known_in_headers(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        _check(_texts(dict(headers)), cls.more | _ALWAYS | {"secret"})
        return headers

    @property
    def placeholders(self) -> frozenset[str]:
        texts = (*_texts(self.url), *_texts(dict(self.headers)), *_texts(self.body))
        return frozenset(name for _, text in texts for name in _PLACEHOLDER.findall(text)) - {"secret"}

    @property
    def is_relative(self) -> bool:
        return self.url.startswith("/")

    def call(
        self, base_url: str, values: Mapping[str, Any], secret: Secret | None, timeout_seconds: float
    ) -> Call:
        """The request; `values` hold every placeholder that it uses."""
        quoted = {name: quote(str(value), safe="") for name, value in values.items()}
        in_headers = {**values, "secret": secret.value if secret else ""}
        return Call(
            method=self.method,
            url=(base_url.rstrip("/") if self.is_relative else "") + _filled(self.url, quoted),
            timeout_seconds=timeout_seconds,
            auth=Auth.NONE,
            secret=secret,  # what its echo is hidden by; it travels in the headers as configured
            json=_filled_tree(self.body, values),
            headers={name: _filled(text, in_headers) for name, text in self.headers.items()},
            fresh=self.method != "GET",
        )


class AnswerTable(CallTable):
    """A call whose answer shows a session."""

    handle: JsonPath | None = None
    endpoint_url: JsonPath | None = None
    endpoint_model: JsonPath | None = None
    ends_at: JsonPath | None = None


class OpenTable(AnswerTable):
    more: ClassVar[frozenset[str]] = frozenset({"nodes", "duration_seconds"})

    handle: JsonPath
    success_statuses: tuple[int, ...] = (200, 201, 202)


class StatusTable(AnswerTable):
    more: ClassVar[frozenset[str]] = frozenset({"handle"})

    status: JsonPath
    words: Mapping[str, Life] = Field(min_length=1)
    """What the platform's words mean, compared without case."""
    success_statuses: tuple[int, ...] = (200,)

    def life(self, body: Any) -> tuple[Life, str]:
        """What the answer says, and the word it said it with."""
        word = str(read_path(body, self.status))
        lives = {known.lower(): life for known, life in self.words.items()}
        return lives.get(word.lower(), Life.UNKNOWN), word


class CloseTable(CallTable):
    more: ClassVar[frozenset[str]] = frozenset({"handle"})


class ListTable(CallTable):
    """All live sessions; the other paths begin at one item."""

    items: JsonPath
    handle: JsonPath
    name: JsonPath | None = None
    opened_at: JsonPath | None = None
    ends_at: JsonPath | None = None
    status: JsonPath | None = None
    live_words: tuple[str, ...] = ()
    """Where `status` is given: the words of what is live, compared without case."""
    success_statuses: tuple[int, ...] = (200,)

    def live(self, body: Any) -> list[Any] | None:
        """The items that are live; None where the answer has no list."""
        items = read_path(body, self.items)
        if not isinstance(items, list) or any(read_text(item, self.handle) is None for item in items):
            return None
        words = {word.lower() for word in self.live_words}
        return [
            item for item in items if not self.status or str(read_path(item, self.status)).lower() in words
        ]


def values_of_order(order: Order) -> dict[str, Any]:
    """The values of placeholders; the handle only where a candidate is known."""
    values = {
        "placement_id": order.placement_id,
        "name": order.name,
        "model": order.model,
        "nodes": order.nodes,
        "duration_seconds": order.duration_seconds,
    }
    return values | ({"handle": order.handle} if order.handle else {})


def values_of_target(target: Target) -> dict[str, Any]:
    """The same; a name that is not known is left out, for another's would be taken for its end."""
    known = {"name": target.name, "handle": target.handle}
    values = {"placement_id": target.placement_id, "model": target.model}
    return values | {key: value for key, value in known.items() if value is not None}


def _check(texts: Iterable[tuple[str, str]], known: frozenset[str]) -> None:
    for where, text in texts:
        for name in _PLACEHOLDER.findall(text):
            if name not in known:
                said = {
                    "name": name,
                    "where": f" in {where}" if where else "",
                    "known": ", ".join(sorted(known)),
                }
                raise PydanticCustomError(
                    "placeholder", "unknown placeholder {{name}}{where}: here are known {known}", said
                )


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text below, with its path."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts(below, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for n, below in enumerate(value):
            yield from _texts(below, f"{where}.{n}".lstrip("."))


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def _filled_tree(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        return values[whole[1]] if whole else _filled(value, values)
    if isinstance(value, Mapping):
        return {key: _filled_tree(below, values) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled_tree(below, values) for below in value]
    return value
