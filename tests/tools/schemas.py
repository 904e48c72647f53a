"""Write docs/schema from the code: `python -m tests.tools.schemas`."""

import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator.client.schemas import VERSION, events_schema, outcomes_schema, schema

FOLDER = Path(__file__).parents[2] / "docs" / "schema" / VERSION


def texts() -> Mapping[Path, str]:
    """Return the documents as they are checked in."""
    documents = {"jobs": schema(), "outcomes": outcomes_schema(), "events": events_schema()}
    return {
        FOLDER / f"{name}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n"
        for name, one in documents.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in texts().items():
        path.write_text(text)
