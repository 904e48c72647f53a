"""The share of all worlds and crashes that a run tries. A turn is a number: the same turn is the same share, and all
turns together are everything."""

from collections.abc import Sequence

#: Seeds that a full run plays.
ALL_SEEDS = 1000


def first_seed(turn: int, seeds: int) -> int:
    """Return the first seed: the shares are side by side in the seeds of a full run."""
    return 1 + turn % max(1, ALL_SEEDS // seeds) * seeds


def sampled(points: Sequence[str], share: int, turn: int = 0, kinds: int = 1) -> list[int]:
    """Return every `share`-th point, and one of every `kinds`-th kind: of each in `kinds` turns."""
    numbers_of: dict[str, list[int]] = {}
    for number, point in enumerate(points, 1):
        numbers_of.setdefault(point, []).append(number)
    in_turn = list(numbers_of.values())[turn % kinds :: kinds]
    one_of_each = (numbers[turn // kinds % len(numbers)] for numbers in in_turn)
    return sorted({*range(1 + turn % share, len(points) + 1, share), *one_of_each})
