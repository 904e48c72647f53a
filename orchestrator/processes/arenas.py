"""How much memory the C library keeps for threads."""

import ctypes
import sys
from contextlib import suppress

#: glibc's parameter for the most arenas (malloc.h). Each thread that allocates may get an arena of its own, up to eight
#: for each core, and keeps what was freed there.
_ARENA_MAX, _ARENAS = -8, 2


def bound_arenas() -> None:
    """Let the threads of this process, and of those that it forks, share a few arenas of memory."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library than glibc
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
