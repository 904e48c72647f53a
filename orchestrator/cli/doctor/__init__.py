"""`doctor`: is everything there that a process needs? One line for each check.

command   the command: run every check and show what it found
check     the words of a check: Check, Finding, Doubt
registry  every check, one line each, in the order in which they are shown
settings, database, broker, work, providers   the checks themselves, one function each
"""

from orchestrator.cli.doctor.command import doctor

__all__ = ["doctor"]
