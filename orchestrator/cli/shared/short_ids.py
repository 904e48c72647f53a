"""Ids for narrow tables: as many characters of each as make it unique. Commands take these too."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from orchestrator.cli.shared.fitting import Forms

#: Generated ids, which say nothing to people. An id that a person chose is shown as it is.
GENERATED = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_LEAST = 8


def id_cells(ids: Iterable[str | None]) -> Mapping[str | None, Forms]:
    """Return the cell of each id: as it is, and shortened to what makes it unique."""
    in_order = sorted({one for one in ids if one})
    shared = dict.fromkeys(in_order, 0)
    for one, other in pairwise(in_order):
        length = _shared(one, other)
        shared |= {one: max(shared[one], length), other: length}
    return {None: Forms([""]), "": Forms([""]), **{one: _cell(one, shared[one]) for one in in_order}}


def _shared(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cell(text: str, shared: int) -> Forms:
    if not GENERATED.fullmatch(text):
        return Forms([text])
    return Forms([text, text[: max(_LEAST, shared + 1)]])
