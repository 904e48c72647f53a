"""Which installation gave a name at a platform. Names are ids of placements, and begin with the installation's id.

Two installations may have one account there: each closes only what it opened."""

import uuid
from enum import StrEnum

#: The length of an installation's id, which is hexadecimal: the first group of a UUID.
DIGITS = 8
#: The version of UUIDs that name their installation. Earlier releases made random ones, of version 4.
_VERSION = 8


class Maker(StrEnum):
    """Who made a resource, judged by its name."""

    US = "us"
    ANOTHER = "another"
    """Another installation."""
    UNMARKED = "untold"
    """A release without installation ids: ours, or another installation's."""
    PERSON = "person"


def placement_id(installation: str, bits: int) -> str:
    """Return a UUID that begins with `installation`; the rest is of 128 random `bits`."""
    digits = f"{bits:032x}"
    variant = f"{int(digits[16], 16) & 0b0011 | 0b1000:x}"
    return str(uuid.UUID(f"{installation}{digits[8:12]}{_VERSION}{digits[13:16]}{variant}{digits[17:]}"))


def maker_of(name: str, installation: str | None) -> Maker:
    """Return who made the resource; `installation`: our own id, None if it was never needed."""
    try:
        read = uuid.UUID(name)
    except ValueError:
        return Maker.PERSON
    if str(read) != name:
        return Maker.PERSON
    if read.version != _VERSION:
        return Maker.UNMARKED
    return Maker.US if name[:DIGITS] == installation else Maker.ANOTHER
