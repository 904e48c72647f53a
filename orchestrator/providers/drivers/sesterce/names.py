"""Which instance an order refers to, and which of the listed ones are ours."""

from collections.abc import Sequence

from orchestrator.providers.drivers.sesterce.control import Instance
from orchestrator.providers.drivers.sesterce.options import SesterceOptions
from orchestrator.providers.port.driver import Life, Listed, Order
from orchestrator.providers.port.errors import CannotAsk, Misconfigured, ModelMissing


class Names:
    """Ids, names and references of one configured account."""

    def __init__(self, options: SesterceOptions) -> None:
        self._options = options
        self._creates = options.on_open == "create"

    def of(self, order: Order) -> str:
        """Return the name of a created instance, by which it is found again after a lost answer."""
        return self._options.name_prefix + order.name

    def reference(self, order: Order) -> str:
        """Return the reference of the order's instance, in messages too."""
        return self.of(order) if self._creates else self._options.instances.get(order.model, order.model)

    def meant(self, model: str, listed: Sequence[Instance]) -> Instance | None:
        """Return the instance that an order's model names. An id is matched before a name."""
        wanted = self._options.instances.get(model, model)
        return by_id(listed, wanted) or next((one for one in listed if one.name == wanted), None)

    def described(self, model: str, listed: Sequence[Instance]) -> str:
        """Return the instance that opens of this model would use. Raises the same errors as they."""
        if self._creates:
            raise CannotAsk("each open creates an instance of its own: only an open could show it")
        found = self.meant(model, listed)
        if found is None or found.life is Life.GONE:
            raise ModelMissing(f"no instance {self._options.instances.get(model, model)} is listed")
        if found.life in (Life.STOPPED, Life.FAILED) and self._options.on_open == "attach":
            raise Misconfigured(f"{found.said}: start it, or set on_open")
        return found.said

    def begun(self, order: Order, listed: Sequence[Instance]) -> Instance | None:
        """Return what an earlier open of this order created or started."""
        candidate = by_id(listed, instance_id(order.handle))
        if candidate is not None or not self._creates:
            return candidate or self.meant(order.model, listed)
        return next((one for one in listed if one.name == self.of(order)), None)

    def is_anothers(self, order: Order, one: Instance) -> bool:
        """Return whether another placement alone uses it. An instance left running has one handle for each
        placement."""
        shared = self._options.on_close == "leave"
        return any((handle if shared else instance_id(handle)) == one.id for handle in order.taken_handles)

    def listed(self, one: Instance) -> Listed:
        """Return an instance as listed. Only one with our prefix is ours; the operator's own are never touched."""
        ours = self._creates and one.name.startswith(self._options.name_prefix)
        return Listed(
            handle=one.id,
            name=one.name.removeprefix(self._options.name_prefix) if ours else None,
            opened_at=one.created_at,
            life=one.life,
            price_per_hour=one.price_per_hour,
            foreign=not ours,
        )


def by_id(listed: Sequence[Instance], wanted: str) -> Instance | None:
    return next((one for one in listed if one.id == wanted), None)


def instance_id(handle: str | None) -> str:
    """Return the instance's id. A shared instance's handles end in the placement that uses it."""
    return (handle or "").partition("/")[0]
