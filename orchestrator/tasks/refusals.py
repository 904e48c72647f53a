"""Messages that no task of ours is for are refused, and told of without their contents: these may hold anything."""

import logging
from collections.abc import Mapping
from typing import Any

from celery.worker.consumer import consumer

#: Longest name of a stranger's task in the log.
_LONGEST = 80
#: Celery's templates that take contents, by their names there.
_WHY: Mapping[str, str] = {
    "UNKNOWN_TASK_ERROR": "",
    "INVALID_TASK_ERROR": "a message whose arguments are none was refused",
    "UNKNOWN_FORMAT": "a message that is no task was refused",
    "MESSAGE_DECODE_ERROR": "a message that is not JSON was refused",
}
_CONTENTS: Mapping[str, str] = {getattr(consumer, name): name for name in _WHY}


class WithoutContents(logging.Filter):
    """Celery logs the whole body and all headers of what it refuses; this leaves who it was for, and why."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = _brief(str(record.msg), record.args)
        if said is not None:
            record.msg, record.args = said, ()
            record.exc_info = record.exc_text = None
        return True


def hide_contents() -> None:
    """For every worker of this process; again, it changes nothing."""
    logger = logging.getLogger(consumer.__name__)
    if not any(isinstance(known, WithoutContents) for known in logger.filters):
        logger.addFilter(WithoutContents())


def _brief(template: str, args: Any) -> str | None:
    name = _CONTENTS.get(template)
    if name is None:
        return None
    return (
        f"a message for the unknown task {_task_of(args)} was refused"
        if name == "UNKNOWN_TASK_ERROR"
        else _WHY[name]
    )


def _task_of(args: Any) -> str:
    headers = next((arg for arg in args or () if isinstance(arg, Mapping) and "task" in arg), {})
    name = str(headers.get("task", "?"))
    return "".join(char for char in name if char.isprintable())[:_LONGEST]
