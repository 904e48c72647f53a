"""`doctor`: checks whether everything is there that a process needs, one line for each check.

command   the command: run every check and show the findings
check     the types of a check: Check, Finding, Doubt
registry  every check, one line each, in the order in which they are shown
settings, database, clock, broker, processes, machines, work, providers   the checks, one function each
"""

from orchestrator.cli.doctor.command import doctor

__all__ = ["doctor"]
