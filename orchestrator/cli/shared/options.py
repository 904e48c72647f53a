"""Options that several commands share."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import typer

from orchestrator.cli.shared.spans import since_of

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=100_000, help="Show at most this many.")]
#: A day or a time; how long ago as a `timedelta`, which typer cannot name beside the other.
Since: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        parser=since_of, metavar="TIME", help="From this day or time on, or from this long ago: 1h30m."
    ),
]
All: TypeAlias = Annotated[bool, typer.Option("--all", help="Show all, whatever --limit says.")]
Currency: TypeAlias = Annotated[str, typer.Option(help="A currency's code, such as USD.")]


#: More than a table can show.
NO_LIMIT = 10_000_000


def given(**values: Any) -> dict[str, Any]:
    """Return the options that were given; the job has defaults for the others."""
    return {name: value for name, value in values.items() if value not in (None, {}, [])}
