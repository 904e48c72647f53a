"""What `[providers.NAME]` may say to the Hugging Face driver: the hardware and the container of each endpoint."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from orchestrator.providers.drivers.huggingface.names import PREFIX
from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.shared.looks import LOOK_PATH, SERVER_LOOKS
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.providers.shared.patterns import URL_OR_NONE

#: The documented address of the control API.
API = "https://api.endpoints.huggingface.cloud"


class HuggingFaceOptions(DriverOptions):
    base_url: str = Field(default="", pattern=URL_OR_NONE)
    """Empty: the documented address."""
    namespace: str = Field(min_length=1, max_length=96)
    """The user or organisation that owns the endpoints, and pays."""
    instance_type: str = Field(min_length=1)
    """The hardware of one replica, in the platform's words (`nvidia-l4`)."""
    instance_size: str = Field(default="x1", min_length=1)
    accelerator: Literal["gpu", "cpu", "neuron", "tpu"] = "gpu"
    vendor: str = Field(default="aws", min_length=1)
    region: str = Field(default="us-east-1", min_length=1)
    type: Literal["protected", "authenticated", "public"] = "protected"
    """Who may call an endpoint. All but public want a token."""
    framework: str = Field(default="pytorch", min_length=1)
    task: str = Field(default="text-generation", min_length=1)
    image: Mapping[str, Any] = Field(default_factory=dict)
    """The container, in the platform's words; empty: what the platform chooses for the repository."""
    revisions: Mapping[str, str] = Field(default_factory=dict)
    """`provider_model_id` → a commit of its repository; without an entry, the newest."""
    served_as: Mapping[str, str] = Field(default_factory=dict)
    """`provider_model_id` → the model's name at the endpoint, where that differs."""
    scale_to_zero_minutes: int | None = Field(default=None, ge=1)
    """None: an endpoint keeps its replicas until it is deleted."""
    max_nodes: int = Field(default=1, ge=1)
    """A replica counts as one node."""
    name_prefix: str = "orch-"
    """Before the names of our endpoints."""
    full_texts: tuple[str, ...] = ("quota", "capacity", "not enough", "no available")
    """Words of a refusal that has to do with hardware or its quota; a guess, for errors are not documented."""
    looks: tuple[Annotated[str, Field(pattern=LOOK_PATH)], ...] = SERVER_LOOKS
    poll_seconds: float = Field(default=5, gt=0)
    """Between two reads of an endpoint that has no address yet."""

    @field_validator("name_prefix")
    @classmethod
    def _leaves_room(cls, prefix: str) -> str:
        if not PREFIX.fullmatch(prefix):
            raise PydanticCustomError(
                "name_prefix",
                'must be a lower-case letter, up to three lower-case letters or digits, and a dash: "orch-"',
            )
        return prefix

    @property
    def endpoints_url(self) -> str:
        return (self.base_url or API).rstrip("/") + "/v2/endpoint"

    def body(self, model: str, nodes: int) -> dict[str, Any]:
        """Return the body of a create, without its name."""
        scaling: dict[str, Any] = {"minReplica": nodes, "maxReplica": nodes}
        if self.scale_to_zero_minutes is not None:
            scaling |= {"minReplica": 0, "scaleToZeroTimeout": self.scale_to_zero_minutes}
        served: dict[str, Any] = {
            "repository": model,
            "framework": self.framework,
            "task": self.task,
            "image": dict(self.image) or {"huggingface": {}},
        }
        if model in self.revisions:
            served["revision"] = self.revisions[model]
        return {
            "type": self.type,
            "provider": {"vendor": self.vendor, "region": self.region},
            "compute": {
                "accelerator": self.accelerator,
                "instanceType": self.instance_type,
                "instanceSize": self.instance_size,
                "scaling": scaling,
            },
            "model": served,
        }


def card(options: HuggingFaceOptions) -> Card:
    return Card(
        lifecycle=LifecycleCard(closes_by_id=True, max_nodes=options.max_nodes),
        identity=IdentityCard(names_create=True, needs_credential=True),
        status=StatusCard(
            can_list=True, can_ask=True, by_name=True, sleeps=options.scale_to_zero_minutes is not None
        ),
    )
