"""Close many sessions: which ones, and why."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from orchestrator.client import fields
from orchestrator.client.base import Part
from orchestrator.rules.where import LONGEST_WHERE, WhereFault, parse_where
from orchestrator.validation.wording import wrong


def _where(text: str) -> str:
    try:
        parse_where(text)
    except WhereFault as fault:
        raise wrong(str(fault), "where") from None
    return text


class CloseMany(Part):
    """Which sessions are closed, and why. With `dry_run`, nothing is: the answer says what would be, and has the `plan`
    that executes it."""

    where: Annotated[str, Field(max_length=LONGEST_WHERE), AfterValidator(_where)] | None = Field(
        None, examples=["provider=gw and idle>1h"]
    )
    """Conditions joined by `and`: state, account, provider, model, name, age, idle, cost, unproven; = != < > <= >=."""
    account_id: fields.Identifier | None = None
    provider: fields.Identifier | None = None
    model_id: fields.ModelIdentifier | None = None
    state: Annotated[
        list[Literal["created", "queued", "starting", "running"]] | None,
        Field(min_length=1, max_length=4),
    ] = None
    since: fields.Timestamp | None = None
    """Not older than this."""
    reason: Literal["user", "operator"] = "user"
    detail: fields.Text | None = None
    dry_run: bool = True
    plan: Annotated[str, Field(max_length=20_000)] | None = None

    @property
    def digest(self) -> str:
        """Return a digest that is equal for a dry run and for its execution."""
        content = self.model_dump(mode="json", exclude={"dry_run", "plan"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
