"""`make quick`: run the tests of what changed since main, or a tenth of all where that cannot be seen.

A test belongs to a change when its file changed or imports a module that changed. Tests of other families than
`quick` run only where their own file changed."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grimp

from tests import families
from tests.families import ROOT

#: The base of a change: the first of these that the clone has.
BASES = ("main", "origin/main")
#: A change that reaches more test files than this is left to `make test`: a share of its tests run, another each day.
MOST = 40
SHARES = 10


def main(arguments: Sequence[str]) -> int:
    """Run the tests. `arguments` are pytest's."""
    quick = files_of_tests(family="quick")
    day = datetime.now(UTC).toordinal()
    files = chosen(changed(), quick, imports(), day)
    sys.stderr.write(f"{len(files)} of {len(files_of_tests())} test files\n")
    return subprocess.call([sys.executable, "-m", "pytest", *arguments, *files], cwd=ROOT)


def chosen(
    changes: Iterable[str], quick: Sequence[str], imported_by: dict[str, set[str]], turn: int
) -> list[str]:
    """Return the test files of these changes, or a share of the quick ones where no change leads to a test."""
    edited = {path for path in changes if _is_test(path)}
    reached = {test for path in changes for test in imported_by.get(path, ())} & set(quick) - edited
    if not edited | reached:
        return share(quick, SHARES, turn)
    shares = -(-len(reached) // MOST)
    return sorted(edited) + share(sorted(reached), max(1, shares), turn)


def share(files: Sequence[str], shares: int, turn: int) -> list[str]:
    """Return every `shares`-th file; all turns together have all."""
    return list(files[turn % shares :: shares])


def changed() -> set[str]:
    """Return files of this working tree that differ from main; none if git fails."""
    for base in BASES:
        fork = _git("merge-base", "HEAD", base)
        if fork:
            new = _git("ls-files", "--others", "--exclude-standard")
            return {*_git("diff", "--name-only", "--diff-filter=d", fork[0]), *new}
    return set()


def imports() -> dict[str, set[str]]:
    """Return, for each file of Python, the test files that import it."""
    graph = grimp.build_graph("orchestrator", "tests", cache_dir=None)
    return {
        path: {
            _path(name) for name in graph.find_modules_that_directly_import(module) if _is_test(_path(name))
        }
        for module in graph.modules
        for path in (_path(module), _path(f"{module}.__init__"))
    }


def files_of_tests(family: str | None = None) -> list[str]:
    """Return every test file, or those of one family, in order."""
    return [
        str(path.relative_to(ROOT))
        for path in families.files_of_tests()
        if family in {None, families.family_of(path)}
    ]


def _path(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _is_test(path: str) -> bool:
    return path.startswith("tests/") and Path(path).name.startswith("test_") and path.endswith(".py")


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
