"""What counts as growing in a soak, and how the use of a process is read."""

import os
import sys

import pytest

from tests.bench.soak import growing
from tests.bench.usage import below, cpu_seconds, measured, open_files, pss_mib

FLAT = {name: [100.0] * 30 for name in ("memory, MiB", "descriptors", "connections", "dead rows")}


@pytest.mark.parametrize(
    ("name", "values", "grows"),
    [
        ("memory, MiB", [100.0] * 30, False),
        ("memory, MiB", [50.0] * 10 + [100.0] * 20, False),  # it only warmed up
        ("memory, MiB", [100.0 + n for n in range(30)], True),
        ("memory, MiB", [100.0 - n for n in range(30)], False),
        ("connections", [5.0] * 20 + [8.0] * 10, True),
        ("descriptors", [2_000.0] * 20 + [2_100.0] * 10, False),
        ("dead rows", [3_000.0, 9_000.0] * 15, False),
        ("dead rows", [n * 10_000.0 for n in range(30)], True),
        ("memory, MiB", [100.0, 100.0], True),
    ],
)
def test_a_series_grows_where_its_last_third_is_above_the_one_before(
    name: str, values: list[float], grows: bool
) -> None:
    found = list(growing({**FLAT, name: values}))
    assert [one.partition(":")[0] for one in found] == ([name] if grows else [])


def test_work_of_this_process_is_measured() -> None:
    with measured([os.getpid()]) as spent:
        begun = cpu_seconds([os.getpid()])
        while cpu_seconds([os.getpid()]) < begun + 0.05:
            pass
    assert 0.04 <= spent.cpu <= spent.wall + 0.1


def test_a_process_that_has_gone_uses_nothing() -> None:
    gone = 2**22 + 1  # above the largest process id
    assert cpu_seconds([gone]) == 0
    assert pss_mib([gone]) == 0
    assert below(gone) == {gone}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_descriptors_of_this_process_are_read() -> None:
    assert 5 < pss_mib([os.getpid()]) < 5_000
    before = open_files(os.getpid())
    with open(os.devnull):
        assert open_files(os.getpid()) == before + 1
