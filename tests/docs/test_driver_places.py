"""A driver is one file or folder, one line of the registry, one simulated platform and one card: no other Python file
names it, so that a new one touches no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.providers.registry import DRIVERS

ROOT = Path(orchestrator.__file__).parent
#: Both registries; the demo, which plays two platforms.
FOR_ALL = ("providers/registry.py", "simulator/platforms/__init__.py", "cli/demo/")
#: Names that mean something else there.
OTHERWISE = {
    "openai": ("flows/reports/samples.py", "processes/extras.py"),  # the package of this name
}
#: Drivers of the same platform may name each other: a gateway, and the node that sees its sessions.
_PLATFORMS = {name: name.partition("-")[0] for name in DRIVERS}


def names_it(text: str, driver: str) -> bool:
    """Return whether the text has the driver's name as a word of its own. `OpenAI` is a wire format as well."""
    flags = re.NOFLAG if driver == "openai" else re.IGNORECASE
    name = driver.replace("-", "[-_]")
    return re.search(rf"(?<![\w-]){name}(?![\w-])", text, flags) is not None


def named_elsewhere(driver: str) -> Iterator[str]:
    """Yield the files that name the driver and are none of its places."""
    platform = _PLATFORMS[driver]
    places = (
        *(f"providers/drivers/{platform}", f"simulator/platforms/{platform}"),
        *FOR_ALL,
        *OTHERWISE.get(driver, ()),
    )
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(places) and names_it(path.read_text(encoding="utf-8"), driver):
            yield place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param('if driver == "morpheus-node":', True, id="a text"),
        pytest.param("from orchestrator.providers.drivers.morpheus_node import wallet", True, id="an import"),
        pytest.param("# of Morpheus-Node alone", True, id="a comment"),
        pytest.param("a morpheus gateway", False, id="another driver"),
        pytest.param("morpheus_nodes = 2", False, id="part of a word"),
    ],
)
def test_a_name_is_found(text: str, found: bool) -> None:
    assert names_it(text, "morpheus-node") is found


def test_a_wire_format_is_no_driver() -> None:
    assert not names_it("the body that OpenAI answers: as_openai", "openai")
    assert names_it('kind = "openai"', "openai")


@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_a_driver_is_named_in_its_own_places_only(driver: str) -> None:
    assert list(named_elsewhere(driver)) == []
