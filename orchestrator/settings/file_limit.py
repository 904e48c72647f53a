"""This process's limit of open files: read, and raised as far as the system allows."""

import resource
import sys
from contextlib import suppress


def file_limit() -> int:
    """Return how many files this process may open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> int:
    """Raise the soft limit to the hard one, if the system allows it; return the limit in force then."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS takes no soft limit without an end
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return file_limit()
