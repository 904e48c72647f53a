"""Faults of a template's calls taken together, found before they could lose a session.

Each check gets one table and the other tables of the configuration; it names key and remedy."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from orchestrator.providers.drivers.fpt.templates import ENDED, CallTable, CloseTable, OpenTable, StatusTable
from orchestrator.providers.port.driver import Life

#: The key below the table, and what is wrong there.
OptionFault: TypeAlias = tuple[str, str]

#: What the open must have sent to the platform before another call can address a session by it.
_OURS = frozenset({"name", "placement_id"})
_ADDRESS = _OURS | {"handle"}
_NOTHING_FINDS = (
    "nothing would find what it opened if its answer were lost: let status ask by {name}, or give names_create and "
    "list.name, or idempotent_open where the same open again is the same session; or accept with "
    "lost_opens_need_an_operator that an operator must look each time"
)


def faults_of(table: CallTable, others: Mapping[str, Any]) -> list[OptionFault]:
    """Yield every fault. `others`: the options that are well-formed, checked so far."""
    match table:
        case StatusTable():
            return [*_unaddressed(table, others), *_words(table, others), *_of_both(table, others)]
        case OpenTable():
            whole = {"list", "status"} <= others.keys()  # what is malformed has been named already
            return [*_nameless(table, others), *(_lost(table, others) if whole else ())]
        case CloseTable():
            return [*_unaddressed(table, others), *_unclear_close(table, others)]
        case _:
            return []


def _unaddressed(table: CallTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    if not table.placeholders & _ADDRESS and not others.get("exclusive_credentials"):
        yield (
            "url",
            "names no session: put {handle}, {name} or {placement_id} into it or into the body, "
            "or set exclusive_credentials where the key is the session",
        )


def _words(table: StatusTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    lives = set(table.words.values())
    by_error = any(meaning.means == "gone" for meaning in others.get("errors", ()))
    if not lives & set(ENDED) and not by_error:
        yield (
            "words",
            'no word means ended, so no close could be proven: map a word to "stopped", "failed" or "gone", '
            'or an error to "gone"',
        )
    if lives <= {*ENDED, Life.UNKNOWN}:
        yield "words", 'no word means live: map a word to "running" or "starting"'


def _of_both(table: StatusTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    """Yield words to which the list and the status give different meanings, if both use the same words."""
    listed = others.get("list")
    live = {word.lower() for word in listed.live_words} if listed else set()
    known = {word.lower(): life for word, life in table.words.items()}
    both = sorted(word for word in live & known.keys() if known[word] in ENDED)
    if both:
        yield "words", f"{both[0]} means ended here but live in list.live_words: keep one"
    unlisted = sorted(known.keys() - live - {word for word in known if known[word] in (*ENDED, Life.UNKNOWN)})
    if live & known.keys() and unlisted:
        yield (
            "words",
            f"{unlisted[0]} means live here but is not in list.live_words: add it there, or its sessions count as gone",
        )


def _nameless(table: OpenTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    if others.get("names_create") and "name" not in table.placeholders:
        yield "body", "does not send {name}: put it where the platform takes a name, or drop names_create"
    status = others.get("status")
    for key in sorted((status.placeholders if status else frozenset()) & _OURS - table.placeholders):
        if key != "name" or not others.get("names_create"):
            yield "body", f"does not send {{{key}}}, and status asks by it: a lost open would count as gone"


def _lost(table: OpenTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    """Yield what prevents the driver from finding a lost open, or from using or closing what it opened."""
    status, listed = others.get("status"), others.get("list")
    later = status.endpoint_url if status else None
    if status and "handle" not in status.placeholders:
        if not status.handle:
            yield (
                "handle",
                "is known from the open's answer alone: give status.handle, or a lost open is never closed",
            )
        yield from _endpoint(later, others, "status returns", "status.endpoint_url")
    elif others.get("names_create") and listed and listed.name:
        yield from _endpoint(later, others, "list and status return", "status.endpoint_url")
    else:
        if not others.get("idempotent_open") and not others.get("lost_opens_need_an_operator"):
            yield "url", _NOTHING_FINDS
        yield from _endpoint(table.endpoint_url, others, "this answer contains", "its path here")


def _endpoint(path: str | None, others: Mapping[str, Any], what: str, where: str) -> Iterator[OptionFault]:
    if not path and not others.get("endpoint_url"):
        yield (
            "endpoint_url",
            f"no endpoint is known from what {what}, so what was opened could never be used: give {where}, "
            "or endpoint_url of the provider",
        )


def _unclear_close(table: CloseTable, others: Mapping[str, Any]) -> Iterator[OptionFault]:
    opening = others.get("open")
    for key in sorted(table.placeholders & _OURS - (opening.placeholders if opening else _OURS)):
        yield (
            "url",
            f"closes by {{{key}}}, which the open does not send: send it there, or close by {{handle}}",
        )
