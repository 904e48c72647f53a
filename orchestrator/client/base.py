"""The base of every job's keyword arguments: strict types, and no unknown key."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Types as JSON gives them ("5" is no number, true is none either); unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    def __json__(self) -> dict[str, Any]:
        """Return the part as JSON, without what was left out. Any Celery app sends requests by this method."""
        return self.model_dump(mode="json", exclude_unset=True)


class Request(Part):
    """The keyword arguments of a job, checked."""
