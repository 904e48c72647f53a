"""Tables of costs."""

from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = dict[str, Any]


def costs(view: Json) -> list["RenderableType | str"]:
    """Return one line for each key, and the totals. An empty cell: not computed."""
    columns = (view["by"], "spent", "not charged", "per hour", "expected", "")
    rows = [_row(line, line["key"] or "none") for line in view["items"]]
    if not view["totals"]:
        return [f"no costs since {view['since']}, and nothing runs"]
    rows += [_row(line, "total") for line in view["totals"]]
    return [table(columns, rows, title=f"costs since {view['since']}")]


def _row(line: Json, name: str) -> tuple[str, ...]:
    amounts = ("spent", "not_yet_charged", "burning_per_hour", "expected")
    return name, *(line[amount] or "" for amount in amounts), line["currency"]
