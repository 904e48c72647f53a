"""`--share N --turn T`: of the parameter sets of each test, run every N-th, in turns; all turns together run them all.

Of a test with few of them two at least run, so that each test is part of every run, on both databases where it has no
other sets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from zlib import crc32

import pytest


def add_options(parser: pytest.Parser) -> None:
    """Add both options; their default 1 and 0 is everything."""
    parser.addoption(
        "--share", type=int, default=1, help="of each test's parameter sets run every so many-th"
    )
    parser.addoption("--turn", type=int, default=0, help="another number runs another share")


def keep_share(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is not in turn."""
    share, turn = config.getoption("--share"), config.getoption("--turn")
    sets: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in items:
        sets[_test_of(item)].append(item.nodeid)
    chosen = {nodeid for ids in sets.values() for nodeid in in_turn(ids, share, turn)}
    left = [item for item in items if item.nodeid not in chosen]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item.nodeid in chosen]


def in_turn(names: Sequence[str], share: int, turn: int) -> Iterable[str]:
    """Return every `share`-th, and two at least, in an order in which neighbours have nothing in common."""
    step = min(share, max(1, len(names) // 2))
    return sorted(names, key=_mixed)[turn % step :: step]


def _test_of(item: pytest.Item) -> tuple[str, str]:
    name: str = getattr(item, "originalname", None) or item.name
    return item.nodeid.split("::", 1)[0], name


def _mixed(name: str) -> tuple[int, str]:
    return crc32(name.encode()), name
