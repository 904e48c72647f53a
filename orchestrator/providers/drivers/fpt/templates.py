"""Calls of a plain JSON control API, as configured: what is sent, and where answers hold each value.

`{placeholders}` are allowed in URLs, headers and bodies; a dotted path (`data.items.0.id`) points into an answer."""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from orchestrator.providers.drivers.fpt.placeholders import (
    check_known,
    filled,
    filled_tree,
    names_in,
    texts_of,
)
from orchestrator.providers.http.client import Call
from orchestrator.providers.port.driver import Auth, Life, Order, Secret, Target
from orchestrator.providers.shared.paths import JsonPath, read_path, read_text
from orchestrator.providers.shared.patterns import TEMPLATE_URL
from orchestrator.settings.urls import base_url

#: Placeholders that both an order and a placement can fill.
_ALWAYS = frozenset({"placement_id", "name", "model"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Statuses of a session that no longer runs.
ENDED = (Life.STOPPED, Life.FAILED, Life.GONE)


class CallTable(BaseModel):
    """One call."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    #: What its placeholders may be.
    known: ClassVar[frozenset[str]] = _ALWAYS
    #: Whether it opens or closes something, by whatever method.
    changes: ClassVar[bool] = False

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: str = Field(pattern=TEMPLATE_URL)
    """Absolute, or a path below `base_url`. No placeholder in the host: a secret goes where we say."""
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: Any = None
    """Any JSON; a text that is one whole placeholder becomes its value, numbers as numbers."""
    success_statuses: tuple[int, ...] = (200, 201, 202, 204)

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        check_known(texts_of(url), cls.known)
        try:
            if not url.startswith("/"):
                base_url(url.partition("?")[0])
        except ValueError as error:
            raise PydanticCustomError("address", "{why}", {"why": str(error)}) from error
        return url

    @field_validator("body")
    @classmethod
    def _some_json(cls, body: Any) -> Any:
        check_known(texts_of(body), cls.known)
        try:
            json.dumps(body, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise PydanticCustomError("json", "cannot be sent as JSON: {why}", {"why": str(error)}) from error
        return body

    @field_validator("headers")
    @classmethod
    def _some_headers(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        check_known(texts_of(dict(headers)), cls.known | {"secret"})
        for name, text in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise PydanticCustomError(
                    "header",
                    "{name} is not a header's name: use letters, digits and dashes",
                    {"name": repr(name)},
                )
            if not (text.isascii() and text.isprintable()):
                said = {"name": name}
                raise PydanticCustomError(
                    "header",
                    "the header {name} holds a line break or a character that no header may hold: take it out",
                    said,
                )
        return headers

    @field_validator("success_statuses")
    @classmethod
    def _successes(cls, statuses: tuple[int, ...]) -> tuple[int, ...]:
        if not statuses or not all(200 <= status <= 299 for status in statuses):
            raise PydanticCustomError(
                "statuses", "must be one or more of 200 to 299; `errors` describes errors"
            )
        return statuses

    @property
    def placeholders(self) -> frozenset[str]:
        texts = (*texts_of(self.url), *texts_of(dict(self.headers)), *texts_of(self.body))
        return frozenset(name for _, text in texts for name in names_in(text)) - {"secret"}

    @property
    def sends_secret(self) -> bool:
        return any("secret" in names_in(text) for text in self.headers.values())

    @property
    def is_relative(self) -> bool:
        return self.url.startswith("/")

    def call(
        self, base_url: str, values: Mapping[str, Any], secret: Secret | None, timeout_seconds: float
    ) -> Call:
        """Return the request; `values` hold every placeholder that it uses."""
        quoted = {name: quote(str(value), safe="") for name, value in values.items()}
        in_headers = {**values, "secret": secret.value if secret else ""}
        return Call(
            method=self.method,
            url=(base_url.rstrip("/") if self.is_relative else "") + filled(self.url, quoted),
            timeout_seconds=timeout_seconds,
            auth=Auth.NONE,
            secret=secret,  # only to hide its echo; the configured headers send it
            json=filled_tree(self.body, values),
            headers={name: filled(text, in_headers) for name, text in self.headers.items()},
            fresh=self.changes or self.method != "GET",
        )


class AnswerTable(CallTable):
    """A call with an answer that shows a session."""

    handle: JsonPath | None = None
    endpoint_url: JsonPath | None = None
    endpoint_model: JsonPath | None = None
    ends_at: JsonPath | None = None


class OpenTable(AnswerTable):
    known: ClassVar[frozenset[str]] = _ALWAYS | {"nodes", "duration_seconds"}
    changes: ClassVar[bool] = True

    handle: JsonPath
    success_statuses: tuple[int, ...] = (200, 201, 202)


class StatusTable(AnswerTable):
    known: ClassVar[frozenset[str]] = _ALWAYS | {"handle"}

    status: JsonPath
    words: Mapping[str, Life] = Field(min_length=1)
    """What the platform's words mean, compared without case."""
    success_statuses: tuple[int, ...] = (200,)

    @field_validator("words")
    @classmethod
    def _each_once(cls, words: Mapping[str, Life]) -> Mapping[str, Life]:
        lives: dict[str, Life] = {}
        for word, life in words.items():
            if lives.setdefault(word.lower(), life) is not life:
                raise PydanticCustomError(
                    "twice",
                    "the word {word} has two meanings, as words are compared without case: keep one",
                    {"word": word},
                )
        return words

    def life(self, body: Any) -> tuple[Life, str]:
        """Return the life that the answer shows, and the platform's word for it."""
        word = str(read_path(body, self.status))
        lives = {known.lower(): life for known, life in self.words.items()}
        return lives.get(word.lower(), Life.UNKNOWN), word


class CloseTable(CallTable):
    known: ClassVar[frozenset[str]] = _ALWAYS | {"handle"}
    changes: ClassVar[bool] = True


class ListTable(CallTable):
    """The list of all live sessions; the other paths begin at one item. It asks about all, so no session's values are
    available."""

    known: ClassVar[frozenset[str]] = frozenset()

    items: JsonPath
    handle: JsonPath
    name: JsonPath | None = None
    opened_at: JsonPath | None = None
    ends_at: JsonPath | None = None
    status: JsonPath | None = None
    live_words: tuple[str, ...] = Field(default=(), validate_default=True)
    """Where `status` is given: the words of what is live, compared without case."""
    total: JsonPath | None = None
    """Where the answer says how many there are; on a page of them, nothing could be found missing."""
    success_statuses: tuple[int, ...] = (200,)

    @field_validator("live_words")
    @classmethod
    def _with_status(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        reads = info.data.get("status", info)  # a path that is wrong has its own fault
        if reads and not words:
            raise PydanticCustomError(
                "missing",
                "is missing: give the words of `status` for live sessions, or no session would count as listed",
            )
        if reads is None and words:
            raise PydanticCustomError(
                "no_status", "has no meaning without `status`: give the path to the word"
            )
        return words

    def live(self, body: Any) -> list[Any] | None:
        """Return the items that are live; None if the answer has no list."""
        items = read_path(body, self.items)
        if not isinstance(items, list) or any(read_text(item, self.handle) is None for item in items):
            return None
        words = {word.lower() for word in self.live_words}
        return [
            item for item in items if not self.status or str(read_path(item, self.status)).lower() in words
        ]

    def is_whole(self, body: Any) -> bool:
        """Return whether the list shows as many items as its total. Without `total` it counts as whole."""
        items, total = read_path(body, self.items), read_text(body, self.total) or ""
        return self.total is None or (total.isdecimal() and int(total) <= len(items))


def values_of_order(order: Order) -> dict[str, Any]:
    """Return the values of placeholders; the handle only where a candidate is known."""
    values = {
        "placement_id": order.placement_id,
        "name": order.name,
        "model": order.model,
        "nodes": order.nodes,
        "duration_seconds": order.duration_seconds,
    }
    return values | ({"handle": order.handle} if order.handle else {})


def values_of_target(target: Target) -> dict[str, Any]:
    """Return the same for a target. A name that is not known is left out: the end of another session would be taken for
    this one's."""
    known = {"name": target.name, "handle": target.handle}
    values = {"placement_id": target.placement_id, "model": target.model}
    return values | {key: value for key, value in known.items() if value is not None}
