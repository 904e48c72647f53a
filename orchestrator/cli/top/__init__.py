"""`top`: what lives, on one screen that moves.

command   the command: look, draw, wait for a key, again
screen    what is shown, and what a key makes of it: pure
drawing   the screen as tables
keyboard  the keys of a terminal
looking   what is read from the database
"""

from orchestrator.cli.top.command import top

__all__ = ["top"]
