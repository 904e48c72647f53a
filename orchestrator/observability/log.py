"""One way of logging: lines for people on a console, or one JSON object a line; repeated lines are bounded."""

import logging
import re
import sys
from typing import Any

import structlog

from orchestrator.observability.limit import BoundedHandler
from orchestrator.rules.text import escape

#: They log URLs, or every request and every wake-up.
_QUIET = (
    "httpx",
    "httpcore",
    "aiohttp",
    "apscheduler",
    "amqp",
    "kombu",
    "alembic",
    "celery.worker.strategy",
    "celery.app.trace",
)

#: What colours a line on a terminal, and can do nothing else to it (ECMA-48, select graphic rendition).
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


class EscapingFormatter(structlog.stdlib.ProcessorFormatter):
    """Escape what could move a terminal's cursor: messages and stack traces repeat text from outside."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of a stack trace."""
        parts = _COLOUR.split(super().format(record))  # every second part is a colour
        return "".join(part if n % 2 else escape(part) for n, part in enumerate(parts))


def configure(mode: str, *, level: int = logging.INFO, process: str = "") -> None:
    """Send every library's log through structlog to stderr. `mode`: `console` or `json`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if mode == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the pretty one shows local variables: secrets
        )
        shared.remove(structlog.processors.format_exc_info)
    formatter = EscapingFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = BoundedHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)
