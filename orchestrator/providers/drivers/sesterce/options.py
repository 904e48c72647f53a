"""What `[providers.NAME]` may say to the Sesterce driver: what the platform does not document is set here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.shared.looks import LOOK_PATH, SERVER_LOOKS
from orchestrator.providers.shared.options import DriverOptions, SecretRef
from orchestrator.providers.shared.patterns import NAME_PREFIX, URL, URL_OR_NONE

OnOpen = Literal["attach", "start", "create"]
OnClose = Literal["stop", "delete", "leave"]


class InstanceOptions(BaseModel):
    """`[providers.NAME.instance]`: the body of a create, in the platform's own words (`hardwareName`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    registry_id: str | None = None
    container_port: int | None = Field(default=None, ge=1, le=65535)
    hardware_name: str | None = None
    envs: Any = None
    startup_command: Any = None
    timeout: int | None = Field(default=None, ge=0)
    auto_scaling_configurations: Any = None

    def body(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


class SesterceOptions(DriverOptions):
    base_url: str = Field(default="", pattern=URL_OR_NONE)
    """Not used: each instance has an address of its own."""
    control_url: str = Field(pattern=URL)
    """The host of `/ai-inference/instances`; documented nowhere, so without a default."""
    on_open: OnOpen = "attach"
    on_close: OnClose = "stop"
    start_takes_running: bool = False
    """With `on_open = "start"`: whether an instance that runs already may be taken. Another session may use it."""
    full_texts: tuple[str, ...] = (
        "capacity",
        "out of stock",
        "no hardware",
        "not enough resources",
        "unavailable hardware",
    )
    """Words of a refusal that has to do with hardware, not with us; a guess, for errors are not documented."""
    looks: tuple[Annotated[str, Field(pattern=LOOK_PATH)], ...] = SERVER_LOOKS
    pending_means: Literal["starting", "asleep"] = "starting"
    endpoint_auth: Literal["x-api-key", "bearer"] = "x-api-key"
    """The header that the platform documents for its endpoints."""
    endpoint_secret_ref: SecretRef | None = None
    """Where the endpoints want another secret than the control API's."""
    unauthorized_means: Literal["credentials", "gone"] = "credentials"
    """What a 401 of an endpoint says: its secret may have ended with the instance."""
    instances: Mapping[str, str] = Field(default_factory=dict)
    """`provider_model_id` → an instance's id or name; without an entry, it is one itself."""
    served_as: Mapping[str, str] = Field(default_factory=dict)
    """`provider_model_id` → the model's name at the endpoint, where that differs."""
    check_models: bool = True
    instance: InstanceOptions = InstanceOptions()
    name_prefix: str = Field(default="orchestrator-", pattern=NAME_PREFIX)
    """Before the names of what we create; what follows says which installation did."""
    max_nodes: int = Field(default=1, ge=1)
    """An instance counts as one node."""
    poll_seconds: float = Field(default=5, gt=0)
    """Between two reads of an instance that has no address yet."""

    @field_validator("on_close")
    @classmethod
    def _leaves_only_what_it_found(cls, value: OnClose, info: ValidationInfo) -> OnClose:
        if value == "leave" and info.data.get("on_open", "attach") != "attach":
            raise PydanticCustomError(
                "leaves_running",
                "leave is for shared instances (on_open = 'attach'): what is started here is stopped or deleted",
            )
        return value


def card(options: SesterceOptions) -> Card:
    """Return what the driver can do. An instance that is left running has no lifecycle here: sessions share it, and
    closes are local."""
    managed = options.on_close != "leave"
    return Card(
        lifecycle=LifecycleCard(managed=managed, closes_by_id=managed, max_nodes=options.max_nodes),
        identity=IdentityCard(names_create=options.on_open == "create", needs_credential=True),
        status=StatusCard(can_list=managed, can_ask=True, sleeps=options.pending_means == "asleep"),
    )
