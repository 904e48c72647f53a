"""The configuration of an FPT provider."""

import re
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from orchestrator.providers.drivers.fpt.template_faults import faults_of
from orchestrator.providers.drivers.fpt.templates import (
    CallTable,
    CloseTable,
    ListTable,
    OpenTable,
    StatusTable,
)
from orchestrator.providers.port.driver import Auth
from orchestrator.providers.port.faults import Rule, rule
from orchestrator.providers.shared.options import DriverOptions, SecretRef
from orchestrator.providers.shared.patterns import ENDPOINT_URL, URL_OR_NONE
from orchestrator.rules.values import Verdict

#: With a text, as a firewall's page has none that counts; a text about money has a meaning of its own.
_GONE_BY_STATUS = rule(Verdict.GONE, (401, 403), r"^(?!.*(?:credit|balance|billing|funds|quota)).")


class FptOptions(DriverOptions):
    base_url: str = Field(default="", pattern=URL_OR_NONE)
    """What relative URLs of the template begin with; not needed to attach."""
    mode: Literal["attach", "template"]
    endpoint_auth: Auth = Auth.BEARER
    unauthorized_means: Literal["credentials", "gone"] = "credentials"
    """What 401 and 403 of an endpoint mean: its secret belongs to its one session."""

    probe_before_proof: bool = True
    """attach: a wanted stop looks whether the endpoint says that it is gone; each look costs a ping."""

    endpoint_url: str | None = Field(default=None, pattern=ENDPOINT_URL)
    """template: the endpoint, where answers do not contain it."""
    endpoint_secret_ref: SecretRef | None = None
    """template: the endpoint's own secret, by reference; the credential serves if there is none."""
    idempotent_open: bool = False
    """template: the identical open, sent again, returns what the first one opened."""
    names_create: bool = False
    """template: names are unique there, so that a lost open can be found by its name."""
    confirm_close: bool = True
    """template: if there is a status, it must say that the session ended before it counts as closed."""
    lost_opens_need_an_operator: bool = False
    """template: accepts that nothing finds a lost open; it stays unknown until an operator has looked."""
    exclusive_credentials: bool = False
    serialised: bool = False
    max_nodes: int | None = Field(default=None, ge=1)
    shortest_duration_seconds: int = Field(default=0, ge=0)
    minimum_billing_seconds: int = Field(default=0, ge=0)
    resolve_after_seconds: float | None = Field(default=None, ge=0)

    # In this order: each is checked with those above it.
    list: ListTable | None = None
    status: StatusTable | None = None
    open: OpenTable | None = Field(default=None, validate_default=True)
    close: CloseTable | None = Field(default=None, validate_default=True)

    @field_validator("open", "close", "status", "list")
    @classmethod
    def _fits_the_mode(cls, table: CallTable | None, info: ValidationInfo) -> CallTable | None:
        mode = info.data.get("mode")
        if mode == "template" and table is None and info.field_name in ("open", "close"):
            raise PydanticCustomError("needed", "is missing: a template says how this is done")
        if mode == "attach" and table is not None:
            raise PydanticCustomError("not_here", "has no meaning where sessions are attached")
        if table is not None and table.is_relative and info.data.get("base_url") == "":
            raise PydanticCustomError("relative", "its url is relative, and there is no base_url")
        said = faults_of(table, info.data) if table is not None else []
        if said:
            raise ValidationError.from_exception_data("template", [_line(*one) for one in said])
        return table

    @property
    def ping_rules(self) -> tuple[Rule, ...]:
        return (*self.rules, _GONE_BY_STATUS) if self.unauthorized_means == "gone" else self.rules


def _line(key: str, message: str) -> InitErrorDetails:
    """Return one fault. The message is passed as a value, since pydantic would read its braces as placeholders."""
    fault = PydanticCustomError("template", "{said}", {"said": message})
    return InitErrorDetails(type=fault, loc=(key,), input=None)


def chat_base(url: str) -> str:
    """Return the URL without its last part, `/chat/completions`: the console shows it, and users and pings append
    it."""
    return re.sub(r"/chat/completions/?$", "", url).rstrip("/")
