"""The base of every job's keyword arguments: strict types, and no unknown key."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Types as JSON gives them ("5" is no number, true is none either); unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Request(Part):
    """The keyword arguments of a job, checked."""
