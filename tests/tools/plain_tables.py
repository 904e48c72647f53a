"""Write orchestrator/store/plain from the SQLModel classes: `python -m tests.tools.plain_tables`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Column, Integer, Table
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from orchestrator.store import plain
from orchestrator.store.core.columns import EnumText, UtcDateTime
from orchestrator.store.tables import metadata

FOLDER = Path(plain.__path__[0])
_HEAD = '"""Written by `python -m tests.tools.plain_tables`."""'


def texts() -> Mapping[Path, str]:
    """Return the modules as they are checked in."""
    return {FOLDER / f"{table.name}.py": _module(table) for table in metadata.tables.values()}


def written() -> Mapping[Path, str]:
    """Return the modules that are there."""
    return {path: path.read_text() for path in FOLDER.glob("*.py") if path.name != "__init__.py"}


def _module(table: Table) -> str:
    names: defaultdict[str, set[str]] = defaultdict(set)
    names["sqlalchemy"] |= {"Column", "Table"}
    names["orchestrator.store.plain"].add("metadata")
    lines = [f"    {_column(column, names)},\n" for column in table.columns]
    made = f'TABLE = Table(\n    "{table.name}",\n    metadata,\n{"".join(lines)})\n'
    return f"{_HEAD}\n\n{_imports(names)}\n{made}"


def _imports(names: Mapping[str, set[str]]) -> str:
    theirs, ours = [*_of_package(names, own=False)], [*_of_package(names, own=True)]
    return "".join([*theirs, "\n", *ours])


def _of_package(names: Mapping[str, set[str]], *, own: bool) -> Iterator[str]:
    for module in sorted(names):
        if module.startswith("orchestrator.") is own:
            yield f"from {module} import {', '.join(sorted(names[module], key=_as_ruff_sorts))}\n"


def _as_ruff_sorts(name: str) -> tuple[bool, str]:
    """Constants come first, then classes, then the rest."""
    return not name.isupper(), name


def _column(column: Column[object], names: Mapping[str, set[str]]) -> str:
    parts = [f'"{column.name}"', _type(column.type, names)]
    if column.primary_key:
        parts.append("primary_key=True")
        counts_up = column.table.autoincrement_column is column
        if issubclass(column.type._type_affinity or TypeEngine, Integer):
            parts.append(f"autoincrement={counts_up}")
    if column.default is not None:
        parts.append(f"default={column.default.arg!r}".replace("'", '"'))  # type: ignore[attr-defined]
    return f"Column({', '.join(parts)})"


def _type(kind: TypeEngine[object], names: Mapping[str, set[str]]) -> str:
    """Return what makes this type, and note what is imported for it."""
    match kind:
        case AutoString():
            names["sqlalchemy"].add("String")
            return "String"
        case UTCDateTime():
            names[UtcDateTime.__module__].add("UtcDateTime")
            return "UtcDateTime"
        case EnumText():
            names[EnumText.__module__].add("EnumText")
            names[kind.kind.__module__].add(kind.kind.__name__)
            return f"EnumText({kind.kind.__name__})"
    made, name = repr(kind), type(kind).__name__
    own = type(kind).__module__.startswith("orchestrator.")
    names[type(kind).__module__ if own else "sqlalchemy"].add(name)
    return name if own or made == f"{name}()" else made


if __name__ == "__main__":
    for path in written().keys() - texts().keys():
        path.unlink()
    for path, text in texts().items():
        path.write_text(text)
