"""Raise the limit of open files at a worker's start, and compare it with what the configured calls need."""

import logging

from orchestrator.rules.installation.descriptors import calls_that_fit, files_needed
from orchestrator.settings import Configuration
from orchestrator.settings.file_limit import raise_file_limit

log = logging.getLogger(__name__)


def make_room(configuration: Configuration) -> None:
    """Raise the limit, and log what the sum of max_in_flight needs: as a warning if the limit is below that."""
    limit = raise_file_limit()
    calls = sum(provider.max_in_flight for provider in configuration.providers.values())
    needed = files_needed(calls)
    if limit >= needed:
        log.info("%d calls at once need %d open files; the limit is %d", calls, needed, limit)
        return
    log.warning(
        "%d calls at once (the sum of max_in_flight) need %d open files, and the limit is %d: this process runs at most"
        " %d calls at once. Raise the limit (`ulimit -Hn`, LimitNOFILE=), or lower max_in_flight",
        calls,
        needed,
        limit,
        calls_that_fit(limit),
    )
