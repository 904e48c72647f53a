"""What the configuration of every driver has in common."""

from pydantic import BaseModel, ConfigDict, Field

#: An address without query or fragment.
URL = r"^https?://[^/\s?#]+[^\s?#]*$"


class DriverOptions(BaseModel):
    """Keys that drivers read themselves; each driver adds its own. Unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=URL)
    open_timeout_seconds: float = Field(default=420, gt=0)
    close_timeout_seconds: float = Field(default=120, gt=0)
    read_timeout_seconds: float = Field(default=30, gt=0)
    """For calls that change nothing, like model lists."""
    ping_most_tokens: int = Field(default=256, ge=1)
    """Where a server wants more tokens than the policy's, at most this many."""

    def url(self, path: str) -> str:
        return self.base_url.rstrip("/") + path
