"""TOML files that people hand to a command."""

import tomllib
from pathlib import Path
from typing import Any

from orchestrator.cli.shared.failures import WRONG, Complaint
from orchestrator.validation.toml import in_toml


def read_toml(path: Path) -> dict[str, Any]:
    """Return the file's tables. Raises Complaint, with exit code 2, if it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not valid TOML: {in_toml(error)}"
    except (ValueError, RecursionError):
        problem = "is not valid TOML: a number is too long, or tables are nested too deeply"
    raise Complaint(f"{path}: {problem}", WRONG)
