"""Concurrent calls, and the open files that they need."""

import pytest

from orchestrator.rules.installation.descriptors import LEAST, calls_that_fit, files_needed


@pytest.mark.parametrize(("limit", "calls"), [(16, LEAST), (160, 32), (1024, 464), (1_048_576, 524_240)])
def test_how_many_calls_fit(limit: int, calls: int) -> None:
    assert calls_that_fit(limit) == calls


def test_what_is_needed_lets_them_fit() -> None:
    assert all(calls_that_fit(files_needed(calls)) >= calls for calls in range(5000))
