"""Write docs/openapi.json from the code: `python -m tests.tools.openapi`."""

import json
from pathlib import Path

from orchestrator.api.app import document

PAGE = Path(__file__).parents[2] / "docs" / "openapi.json"


def text() -> str:
    """Return the document as it is checked in."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
