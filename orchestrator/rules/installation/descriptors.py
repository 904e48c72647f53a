"""How many simultaneous calls fit under a limit of open files, and which limit some calls need."""

#: Files of one process besides its calls: database, broker, log, event loop, libraries.
RESERVED = 96
#: Files for each call: its connection, and one that is kept open for the next call.
EACH = 2
#: The least number of calls, however low the limit is.
LEAST = 4


def calls_that_fit(limit: int) -> int:
    """Return how many calls one process may have under way."""
    return max((limit - RESERVED) // EACH, LEAST)


def files_needed(calls: int) -> int:
    """Return the limit of open files that lets this many calls run at once."""
    return RESERVED + EACH * calls
