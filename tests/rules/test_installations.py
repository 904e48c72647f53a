"""Names contain the installation that made them."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.reconcile.installations import DIGITS, Maker, maker_of, placement_id

OURS = "5f0c0001"
INSTALLATIONS = st.integers(0, 16**DIGITS - 1).map(lambda bits: f"{bits:0{DIGITS}x}")
BITS = st.integers(0, 2**128 - 1)


@given(INSTALLATIONS, INSTALLATIONS, BITS)
def test_an_id_is_a_uuid_that_says_whose_it_is(ours: str, theirs: str, bits: int) -> None:
    made = placement_id(ours, bits)
    read = uuid.UUID(made)
    assert (str(read), read.version, read.variant) == (made, 8, uuid.RFC_4122)
    assert maker_of(made, ours) is Maker.US
    assert maker_of(made, theirs) is (Maker.US if ours == theirs else Maker.ANOTHER)
    assert maker_of(made, None) is Maker.ANOTHER


@given(BITS, BITS)
def test_two_are_the_same_only_where_their_bits_are(one: int, other: int) -> None:
    same_tail = [bits % 2**96 & ~(0xF << 76) & ~(0b11 << 62) for bits in (one, other)]
    assert (placement_id(OURS, one) == placement_id(OURS, other)) is (same_tail[0] == same_tail[1])


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("playground of the data team", Maker.PERSON),
        ("", Maker.PERSON),
        ("5F0C0001-0000-8000-8000-000000000001", Maker.PERSON),
        ("5f0c0001000080008000000000000001", Maker.PERSON),
        ("5f0c0001-0000-4000-8000-000000000001", Maker.UNMARKED),
        ("5f0c0001-0000-8000-0000-000000000001", Maker.UNMARKED),
        ("5f0c0001-0000-8000-8000-000000000001", Maker.US),
        ("5f0c0002-0000-8000-8000-000000000001", Maker.ANOTHER),
    ],
)
def test_a_name_tells_who_made_it(name: str, maker: Maker) -> None:
    assert maker_of(name, OURS) is maker
