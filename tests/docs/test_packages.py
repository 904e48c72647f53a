"""Each package of `orchestrator/` names every module and package in it."""

import ast
import re
from pathlib import Path

import pytest

import orchestrator
from orchestrator.providers.registry import DRIVERS

ROOT = Path(orchestrator.__file__).parent
#: The registry names the drivers.
REGISTERED = ROOT / "providers" / "drivers"
#: Migrations are read in the order of their numbers; modules of plain tables are written by a tool, one for each table.
UNNAMED = {
    ROOT / "store" / "migrations",
    ROOT / "store" / "migrations" / "versions",
    ROOT / "store" / "plain",
    REGISTERED,
}
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent not in UNNAMED)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_names_what_is_in_it(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    named = set(re.findall(r"\w+", docstring))
    assert modules_of(package) - named == set()


def test_each_file_or_folder_of_the_drivers_is_a_registered_one() -> None:
    names = {kind.options.__module__.split(".")[3] for kind in DRIVERS.values()}
    assert modules_of(REGISTERED) == names


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_list_of_modules_names_only_what_is_there(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = re.findall(r"^([a-z_0-9]+(?:, [a-z_0-9]+)*) {2,}\S", docstring, re.MULTILINE)
    named = {name for names in listed for name in names.split(", ")}
    assert named - modules_of(package) == set()


def modules_of(package: Path) -> set[str]:
    """Return the names that `import` finds there; those with two underscores have a meaning of their own."""
    files = {path.stem for path in package.glob("*.py")}
    packages = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    return {name for name in files | packages if not name.startswith("__")}
