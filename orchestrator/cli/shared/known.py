"""Ids as people type them: whole, as a beginning that only one has, or as a name that only one has.

`known` is for every argument and option that names something which exists: it finds what is meant, and completes it in
a shell. What nothing matches stays as it is typed, for the command or the job to refuse."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, WRONG, Complaint
from orchestrator.cli.shared.short_ids import GENERATED

if TYPE_CHECKING:
    from orchestrator.store.queries.lookups import NamedRow
    from orchestrator.store.transaction import Transaction

#: Candidates that a message names, and those that a shell is offered.
_NAMED, _OFFERED = 8, 100
#: What a shortened id ends in where a table was narrow.
_CUT = "…"
#: To a shell.
_MEANS_SOMETHING = re.compile(r"""[\\$`"'!(){}\[\]<>|&;*?#~^]""")
#: As typed → the kinds of rows it may be, in the order in which they are looked for.
SESSION = ("session", "ended session")
CLOSEABLE = ("session", "orphan", "ended session")
ACCOUNT, MODEL, PROVIDER = ("account",), ("model",), ("provider", "former provider")
SUBJECT = ("session", "account", "provider", "former provider", "ended session")
TOKEN, WEBHOOK, MESSAGE, DEAD_LETTER = ("token",), ("webhook",), ("message",), ("dead letter",)
#: The codes of the contract for what is unknown; others are made alike.
_PLACES = {
    "account": "`orchestrator account list` has all",
    "model": "`orchestrator model list` has all",
    "provider": "`orchestrator provider list` has all",
    "session": "`orchestrator session list` has those that are not deleted",
    "subject": "no session, account or provider has this id, and no event is about it",
}


def known(kinds: Sequence[str], *, must: bool = False) -> dict[str, Any]:
    """Return the options of an argument that names something of these kinds. `must`: it is an error if nothing
    matches."""

    def meant(ctx: typer.Context, value: Any) -> Any:
        if not value or ctx.resilient_parsing:
            return value
        if isinstance(value, str):
            return resolved(kinds, value, must=must)
        return [resolved(kinds, one, must=must) for one in value]

    def completed(incomplete: str) -> list[tuple[str, str]]:
        return list(offered(kinds, incomplete))

    meant.kinds = kinds  # type: ignore[attr-defined]
    return {"callback": meant, "autocompletion": completed}


def resolved(kinds: Sequence[str], text: str, *, must: bool = False) -> str:
    """Return the id that is meant, or the text itself if nothing matches. Raises Complaint if several match, and with
    `must` if nothing does."""
    if GENERATED.fullmatch(text) and not must:
        return text  # it is whole: nothing is to be looked up
    typed = text.removesuffix(_CUT)
    with _rows() as tx:
        for look in (_exactly, _by_name, _by_beginning):
            for kind in kinds:
                found = look(tx, kind, typed)
                if found:
                    return _only(kind, typed, found)
    if must and tx is not None:  # without rows, the command says why there are none
        raise unknown(kinds[0], text)
    return text


def unknown(kind: str, text: str) -> Complaint:
    """Return the error for an id that nothing has."""
    where = _PLACES.get(kind)
    message = f"{kind} {text} is unknown" + (f": {where}" if where else "")
    return Complaint(message, NOT_FOUND, f"unknown_{kind}", **{f"{kind}_id": text})


def offered(kinds: Sequence[str], incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield what a shell may complete to, with a word about each. Never fails: a shell has no place for an error."""
    from orchestrator.store.queries.lookups import RowKind

    try:
        with _rows() as tx:
            for kind in kinds:
                if kind == "provider":
                    yield from ((name, "provider") for name in _providers() if name.startswith(incomplete))
                elif tx is not None and not kind.startswith(("ended", "former")):
                    for one in tx.lookups.completing(RowKind(kind), incomplete, _OFFERED):
                        yield from _offer(one, incomplete, kind)
    except Exception:  # noqa: BLE001
        return


def _offer(one: "NamedRow", incomplete: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the id with the name beside it; the name itself where that is being typed. Others choose names, and a shell
    may carry out what is in one: what means something to it is not offered."""
    is_plain = _MEANS_SOMETHING.search(one.name) is None
    if one.id.startswith(incomplete):
        yield one.id, one.name if is_plain and one.name != one.id else kind
    elif is_plain:
        yield one.name, one.id


def _exactly(tx: "Transaction | None", kind: str, text: str) -> "Sequence[NamedRow]":
    from orchestrator.store.queries.lookups import NamedRow, RowKind

    there = (
        text in _providers() if kind == "provider" else tx is not None and tx.lookups.has(RowKind(kind), text)
    )
    return [NamedRow(text, text)] if there else []


def _by_name(tx: "Transaction | None", kind: str, text: str) -> "Sequence[NamedRow]":
    from orchestrator.store.queries.lookups import RowKind

    return [] if tx is None or kind == "provider" else tx.lookups.named(RowKind(kind), text, _NAMED + 1)


def _by_beginning(tx: "Transaction | None", kind: str, text: str) -> "Sequence[NamedRow]":
    from orchestrator.store.queries.lookups import NamedRow, RowKind

    if kind == "provider":
        return [NamedRow(name, name) for name in _providers() if name.startswith(text)]
    return [] if tx is None else tx.lookups.beginning(RowKind(kind), text, _NAMED + 1)


def _only(kind: str, text: str, found: "Sequence[NamedRow]") -> str:
    if len(found) == 1:
        return found[0].id
    shown = [one.id if one.name == one.id else f"{one.id} ({one.name})" for one in found[:_NAMED]]
    more = " …" if len(found) > _NAMED else ""
    raise Complaint(
        f"{text} matches several {kind}s: {', '.join(shown)}{more}. Type more of the id",
        WRONG,
        "ambiguous",
        candidates=[one.id for one in found[:_NAMED]],
    )


@contextmanager
def _rows() -> "Iterator[Transaction | None]":
    """Yield a transaction that reads; None if the database cannot be read."""
    from orchestrator.cli.shared.reading import reading
    from orchestrator.settings import ConfigurationError
    from orchestrator.store.database import StoreError, StoreOutage, StoreUnavailable

    with ExitStack() as stack:
        try:
            tx = stack.enter_context(reading())
        except (ConfigurationError, StoreError, StoreOutage, StoreUnavailable):
            tx = None
        yield tx


def is_provider(name: str) -> bool:
    """Return whether a provider of this name is configured."""
    return name in _providers()


def _providers() -> list[str]:
    """Return the names in the configuration file, without a check of it: that would import every driver."""
    import tomllib

    from orchestrator.settings import ConfigurationError, load_settings

    try:
        document = tomllib.loads(load_settings().config.read_text(encoding="utf-8-sig"))
    except (ConfigurationError, OSError, ValueError):
        return []
    providers = document.get("providers")
    return sorted(providers) if isinstance(providers, dict) else []
