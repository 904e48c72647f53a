"""Each package of `orchestrator/` names every module and package in it."""

import ast
import re
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(orchestrator.__file__).parent
#: Migrations are read in the order of their numbers.
UNNAMED = {ROOT / "store" / "migrations", ROOT / "store" / "migrations" / "versions"}
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent not in UNNAMED)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_names_what_is_in_it(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    named = set(re.findall(r"\w+", docstring))
    assert modules_of(package) - named == set()


def modules_of(package: Path) -> set[str]:
    """Return the names that `import` finds there; those with two underscores have a meaning of their own."""
    files = {path.stem for path in package.glob("*.py")}
    packages = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    return {name for name in files | packages if not name.startswith("__")}
