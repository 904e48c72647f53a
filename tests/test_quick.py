"""The quick lane runs the tests that a change can break, and is quick for every change."""

import pytest

from tests.quick import MOST, SHARES, chosen, files_of_tests, imports, share

QUICK = [f"tests/rules/test_{n:03}.py" for n in range(100)]
MANY = {"orchestrator/rules/all.py": set(QUICK), "orchestrator/rules/one.py": {QUICK[7]}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(["orchestrator/rules/one.py"], [QUICK[7]], id="a module: the tests that import it"),
        pytest.param([QUICK[3]], [QUICK[3]], id="a test: itself"),
        pytest.param(["tests/chaos/test_slow.py"], ["tests/chaos/test_slow.py"], id="a slow test: itself"),
        pytest.param(["README.md"], QUICK[2::SHARES], id="no test of it: a tenth of all"),
        pytest.param([], QUICK[2::SHARES], id="nothing: a tenth of all"),
    ],
)
def test_what_runs_for_a_change(changes: list[str], expected: list[str]) -> None:
    assert chosen(changes, QUICK, MANY, turn=2) == expected


def test_a_change_that_reaches_most_tests_runs_a_share_of_them() -> None:
    days = [chosen(["orchestrator/rules/all.py"], QUICK, MANY, turn) for turn in range(SHARES)]
    assert all(len(files) <= MOST for files in days)
    assert {path for files in days for path in files} == set(QUICK)


def test_slow_tests_run_only_where_they_changed_themselves() -> None:
    reached = {"orchestrator/rules/one.py": {"tests/chaos/test_slow.py", QUICK[1]}}
    assert chosen(["orchestrator/rules/one.py"], QUICK, reached, turn=0) == [QUICK[1]]


def test_all_shares_together_are_everything() -> None:
    assert sorted(path for turn in range(7) for path in share(QUICK, 7, turn)) == QUICK


def test_this_very_tree_is_understood() -> None:
    assert "tests/test_quick.py" in files_of_tests()
    assert "tests/test_quick.py" in imports()["tests/quick.py"]
    assert "tests/rules/test_money.py" in imports()["orchestrator/rules/billing/money.py"]
    assert "tests/cli/test_closed_pipes.py" in imports()["tests/world.py"]
