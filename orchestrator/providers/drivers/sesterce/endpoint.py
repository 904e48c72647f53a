"""An instance's own endpoint: its URL, its secret, and its name for the model."""

from orchestrator.providers.drivers.sesterce.control import Instance
from orchestrator.providers.drivers.sesterce.options import SesterceOptions
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.driver import Auth, Endpoint, Life, Order, Placed
from orchestrator.providers.port.errors import Misconfigured, ModelMissing, NotSent, ProviderError, Throttled
from orchestrator.providers.shared.lifecycle import ask_reading, listed_models


class Endpoints:
    """Turns an instance into the endpoint of a placement."""

    def __init__(self, http: HttpClient, options: SesterceOptions) -> None:
        self._http = http
        self._options = options

    async def placed(self, order: Order, found: Instance, *, ours: bool = False) -> Placed | None:
        """Return the placement, or None while it has no address.

        With `ours` the instance runs for this order. A fault of its endpoint must not look as if nothing was opened:
        pings find the fault, and the close follows from them."""
        if found.address is None or found.life in (Life.STOPPED, Life.FAILED, Life.GONE):
            return None
        try:
            model = await self._served(order, found)
        except ProviderError:
            if not ours:
                raise
            model = self._given(order) or order.model
        if model is None:
            return None
        shared = self._options.on_close == "leave"
        return Placed(
            handle=f"{found.id}/{order.placement_id}" if shared else found.id,
            endpoint=self._endpoint(order, found.address, model),
            note=found.said,
        )

    async def _served(self, order: Order, found: Instance) -> str | None:
        """Return the model's name at the endpoint; None while it is not known. A sleeping endpoint is not asked: a
        request would wake it, and start the bill."""
        given = self._given(order)
        asks = self._options.check_models and self._options.endpoint_secret_ref is None
        if found.life is Life.RUNNING and asks:
            try:
                return self._chosen(order, found, await self._listed(order, found))
            except (NotSent, Throttled):
                return given  # not ready, or busy: the pings keep asking
        if given is None and (found.life is Life.ASLEEP or not asks):
            raise Misconfigured(f"say under which name {found.id} serves: served_as.{order.model}")
        return given

    def _given(self, order: Order) -> str | None:
        """Return the model's name that is known without asking. A model id that names an instance is no model's
        name."""
        is_model = self._options.on_open == "create" or order.model in self._options.instances
        return self._options.served_as.get(order.model, order.model if is_model else None)

    def _chosen(self, order: Order, found: Instance, names: list[str]) -> str:
        wanted = self._options.served_as.get(order.model, order.model)
        if wanted in names:
            return wanted
        means_the_instance = (
            order.model not in self._options.instances and order.model not in self._options.served_as
        )
        if means_the_instance and len(names) == 1:
            return names[0]
        raise ModelMissing(f"{found.id} does not list the model {wanted}")

    async def _listed(self, order: Order, found: Instance) -> list[str]:
        call = Call(
            method="GET",
            url=f"{found.address}/models",
            timeout_seconds=self._options.read_timeout_seconds,
            most_bytes=self._options.max_list_bytes,
            auth=Auth(self._options.endpoint_auth),
            secret=order.secret,
        )
        return [
            str(entry.get("id"))
            for entry in listed_models(await ask_reading(self._http, call), self._options.rules)
        ]

    def _endpoint(self, order: Order, address: str, model: str) -> Endpoint:
        secret_ref = self._options.endpoint_secret_ref or (order.secret.ref if order.secret else None)
        return Endpoint(
            url=address, model=model, auth=Auth(self._options.endpoint_auth), secret_ref=secret_ref
        )
