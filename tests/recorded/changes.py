"""Break a sensible document at a few places, as people do: wrong types, misspelt keys, values out of bounds."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

Container: TypeAlias = dict[str, Any] | list[Any]
_Change: TypeAlias = Callable[[Container, random.Random, Sequence[Any]], None]

#: Where bounds are.
_NUMBERS = (
    *(-1, 0, 1, 2, 30, 31, 65_535, 65_536, 3_650, 3_651, 10_000, 10_001),
    *(315_360_000, 315_360_001, 10**9, 10**9 + 1, 10**12, 10**12 + 1, 2**63, 10**30),
    *(0.0, 0.0009, 0.001, 0.5, 1.0, 1.5, 30.5, -0.5, 1e308),
)


def broken(document: Mapping[str, Any], rng: random.Random, values: Sequence[Any], most: int = 3) -> Any:
    """Return a copy with at most this many changes; often without any."""
    copy = deepcopy(dict(document))
    for _ in range(rng.choice([0, 1, *range(1, most + 1)])):
        place = rng.choice(list(_containers(copy)))
        rng.choice(_CHANGES)(place, rng, values)
    return copy


def _containers(value: Any) -> Iterator[Container]:
    if isinstance(value, dict | list):
        yield value
        for below in value.values() if isinstance(value, dict) else value:
            yield from _containers(below)


def _keys(place: Container) -> list[Any]:
    return list(place) if isinstance(place, dict) else list(range(len(place)))


def _replace(place: Any, rng: random.Random, values: Sequence[Any]) -> None:
    for key in _one(_keys(place), rng):
        place[key] = deepcopy(rng.choice(values))


def _resize(place: Any, rng: random.Random, _values: Sequence[Any]) -> None:
    numbers = [key for key in _keys(place) if type(place[key]) in (int, float)]
    for key in _one(numbers, rng):
        place[key] = rng.choice(_NUMBERS)


def _remove(place: Any, rng: random.Random, _values: Sequence[Any]) -> None:
    for key in _one(_keys(place), rng):
        del place[key]


def _misspell(place: Any, rng: random.Random, _values: Sequence[Any]) -> None:
    for key in _one([key for key in _keys(place) if isinstance(key, str) and len(key) > 2], rng):
        at = rng.randrange(1, len(key))
        place[rng.choice([key[:at] + key[at + 1 :], key[:at] + "x" + key[at:], key.upper()])] = place.pop(key)


def _add(place: Any, rng: random.Random, values: Sequence[Any]) -> None:
    value = deepcopy(rng.choice(values))
    if isinstance(place, list):
        place.insert(rng.randint(0, len(place)), value)
    else:
        place[
            rng.choice(
                ["x", "", "id", "a b", "é", "plan", "quota", "max_nodes", "stop", "dead_after_seconds"]
            )
        ] = value


def _wrap(place: Any, rng: random.Random, _values: Sequence[Any]) -> None:
    for key in _one(_keys(place), rng):
        place[key] = rng.choice([[place[key]], {"value": place[key]}, str(place[key])])


def _repeat(place: Any, rng: random.Random, _values: Sequence[Any]) -> None:
    for key in _one(_keys(place), rng):
        if isinstance(place, list):
            place.append(deepcopy(place[key]))
        else:
            place[rng.choice(list(place))] = deepcopy(place[key])


def _one(keys: list[Any], rng: random.Random) -> list[Any]:
    """Return one of the keys; none if there is none."""
    return [rng.choice(keys)] if keys else []


_CHANGES: Sequence[_Change] = (_replace, _replace, _resize, _resize, _remove, _misspell, _add, _wrap, _repeat)
