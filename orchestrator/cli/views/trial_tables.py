"""What a changed policy would do, as tables that fit 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from textwrap import fill
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import coloured, table
from orchestrator.cli.shared.times import away
from orchestrator.rules.durations import duration_text
from orchestrator.rules.text import numbered

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Characters of an account; of a reason, before it continues in the next line.
_ACCOUNT, _REASON = 11, 15
#: Of a key, and of a value.
_KEY, _VALUE = 42, 16
_COLOURS = {"stops": "red", "spares": "green", "refuses": "yellow"}
_TITLES = {"deployed": "with the deploy", "hindsight": "if it had applied all along"}


def changes(found: Sequence[Mapping[str, Any]]) -> "RenderableType":
    """Return each key that changes, with its old and its new value."""
    rows = [(fill(one["key"], _KEY), _value(one["old"]), _value(one["new"])) for one in found]
    return table(("key", "now", "then"), rows, title="what changes")


def trial(report: Mapping[str, Any], limit: int) -> Iterator["RenderableType"]:
    """Yield what the change does when it is deployed, then in hindsight."""
    now = datetime.fromisoformat(report["at"])
    for time, title in _TITLES.items():
        yield f"{title}: {_counted(report['counts'][time])}"
        found = [one for one in report["findings"] if one["applies"] == time]
        if found:
            yield _table(found[:limit], now)
        if len(found) > limit:
            yield f"… and {len(found) - limit} more: --limit shows them"
    if any(one["condition"] for one in report["findings"]):
        yield "* under a condition, which --json shows"
    yield _looked_at(report, now)


def _table(found: Sequence[Mapping[str, Any]], now: datetime) -> "RenderableType":
    columns = ("session", "account", "ends", "because", "otherwise", "used before")
    ids = id_cells(one["session_id"] for one in found)
    return table(columns, [_row(one, ids[one["session_id"]].texts[-1], now) for one in found])


def _row(one: Mapping[str, Any], its_id: str, now: datetime) -> Sequence[Any]:
    ends = away(one["at"], now) if one["at"] else "continues"
    return (
        its_id,
        _clipped(one["account_id"], _ACCOUNT),
        coloured(ends + ("*" if one["condition"] else ""), _COLOURS[one["effect"]]),
        fill((one["reason"] or one["otherwise_reason"] or "").replace("_", " "), _REASON),
        away(one["otherwise_at"], now) if one["otherwise_at"] else "admitted",
        _used(one["interactions"]),
    )


def _counted(counts: Mapping[str, int]) -> str:
    words = (("stops", "to end earlier"), ("spares", "to end later or never"), ("refuses", "to be refused"))
    said = [f"{counts[effect]} {word}" for effect, word in words if counts[effect]]
    return ", ".join(said) or "no session changes"


def _looked_at(report: Mapping[str, Any], now: datetime) -> str:
    back = duration_text((now - datetime.fromisoformat(report["events_since"])).total_seconds())
    more = "" if report["complete"] else "; there are more, which one run does not read"
    looked = f"read {numbered(report['sessions'], 'session')} and the events of {back}{more}"
    return looked + _legend(report) if report["findings"] else looked


def _legend(report: Mapping[str, Any]) -> str:
    minutes = report["window_seconds"] // 60
    return f"\nused before: interactions in the {minutes} minutes before; 2-9: not known exactly"


def _used(counts: Mapping[str, int]) -> str:
    least, most = counts["at_least"], counts["at_most"]
    return str(least) if least == most else f"{least}-{most}"


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _value(value: Any) -> str:
    return "not there" if value is None else fill(str(value), _VALUE)
