"""How often Python's collector looks for cycles: hardly ever in a command that soon ends, more often in what runs for
long."""

import gc

#: Objects that come to life before it looks. Imports make hundreds of thousands that stay: with Python's own 700, the
#: collector would go through them again and again.
_OFTEN, _HARDLY_EVER = 20_000, 200_000


def collect_hardly_ever() -> None:
    """Let a command end before the collector has looked for what it leaves."""
    gc.set_threshold(_HARDLY_EVER)


def collect_often() -> None:
    """Bound what cycles may hold in a process that stays."""
    gc.set_threshold(_OFTEN)
