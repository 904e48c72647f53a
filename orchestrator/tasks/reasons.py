"""From an exception of any library: why a message cannot be read, or whether its broker is at fault."""

from redis.exceptions import RedisError

from orchestrator.rules.installation.messages import UnreadableMessage
from orchestrator.rules.installation.unread_messages import reason_in_words


def reason_of(error: Exception) -> str:
    """Return why a message was refused, without its contents, which the texts of library errors repeat."""
    raised: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UnreadableMessage):
            return str(cause)
        raised.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return reason_in_words(raised)


def is_of_the_broker(error: Exception) -> bool:
    """Return whether the connection failed, and not the message."""
    return isinstance(error, RedisError | OSError)
