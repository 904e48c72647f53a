"""Why a message is parked after a library failed on it: in plain English, without the library's own text."""

from collections.abc import Collection, Mapping

#: Name of the exception's class → the reason. If several were raised, the first one here counts.
REASONS: Mapping[str, str] = {
    "RecursionError": "the message is nested too deeply",
    "ContentDisallowed": "the message's content type is not accepted",
    "DecodeError": "the message's body cannot be decoded",
    "JSONDecodeError": "the message is not valid JSON",
    "UnicodeDecodeError": "the message is not UTF-8 text",
    "error": "the message's compressed body is damaged",  # of zlib
}
#: The reason for any other exception.
OTHER = "the message does not have the form that Celery sends"


def reason_in_words(raised: Collection[str]) -> str:
    """Return the reason for exceptions of these classes, each the cause of another."""
    return next((reason for name, reason in REASONS.items() if name in raised), OTHER)
