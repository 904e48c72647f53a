"""Options that several commands share."""

from typing import Annotated, Any, TypeAlias

import typer

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=100_000, help="The most to show.")]
Currency: TypeAlias = Annotated[str, typer.Option(help="A currency's code, such as USD.")]


def given(**values: Any) -> dict[str, Any]:
    """Return the options that were given; the job has defaults for the others."""
    return {name: value for name, value in values.items() if value not in (None, {}, [])}
