"""Take the client's part of `orchestrator`: from the repository, or from the source distribution made of it."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("__init__.py", "py.typed", "client", "rules", "validation")


class ClientFiles(BuildHookInterface):
    """Adds these files, and the license, to the wheel and to the source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Name each part by where it is, and where it goes."""
        here = Path(self.root)
        unpacked = (here / "orchestrator").is_dir()
        source = here if unpacked else here.parents[1]
        names = {f"orchestrator/{part}": f"orchestrator/{part}" for part in PARTS}
        if not unpacked:  # of its own accord hatchling takes a license that lies here
            names["LICENSE"] = self._place_of_license()
        build_data["force_include"] |= {str(source / name): place for name, place in names.items()}

    def _place_of_license(self) -> str:
        distribution = f"{self.metadata.core.name.replace('-', '_')}-{self.metadata.version}"
        return "LICENSE" if self.target_name == "sdist" else f"{distribution}.dist-info/licenses/LICENSE"
