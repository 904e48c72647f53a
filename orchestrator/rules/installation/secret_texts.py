"""What may be shown of secrets (references instead of values, URLs without passwords), and to whom passwords are sent:
to Redis servers that prove who they are."""

import posixpath
import re

#: What is said of a text that is not a reference.
NOT_A_REFERENCE = "must be env:NAME or file:/path, never the secret itself"
_ENVIRONMENT = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,199}")
_SEVERAL = re.compile(r";(?=[a-z+]+://)", re.IGNORECASE)
_SECRET_QUERY = re.compile(r"([^?&=]*(?:pass|pwd|secret|token|key|cred)[^?&=]*=)[^&]*", re.IGNORECASE)


def is_reference(text: str) -> bool:
    """Return True for `env:NAME` and for `file:/path` in shortest form (`..` could slip past a rule)."""
    if text.startswith("file:"):
        path = text.removeprefix("file:")
        return path.isprintable() and len(path) <= 1000 and _is_plain(path)
    return _ENVIRONMENT.fullmatch(text) is not None


def redacted_url(url: str) -> str:
    """Return the URL for messages: without its password, however that is written."""
    return ";".join(_redacted(part) for part in split_urls(url))


def split_urls(urls: str) -> list[str]:
    """Return each of several URLs that are joined by semicolons, as those of Sentinel are."""
    return _SEVERAL.split(urls)


def with_certificates_checked(urls: str) -> str:
    """Return the URLs; where one asks for Redis over TLS and does not say whether certificates are checked, they are.
    Celery's own default is to trust any host that answers."""
    return ";".join(_with_certificates_checked(url) for url in split_urls(urls))


def _with_certificates_checked(url: str) -> str:
    address, _, query = url.partition("?")
    if not address.lower().startswith("rediss://") or "ssl_cert_reqs=" in query:
        return url
    return f"{address}?{query}{'&' if query else ''}ssl_cert_reqs=required"


def _is_plain(path: str) -> bool:
    return (
        path.startswith("/")
        and path != "/"
        and not path.startswith("//")
        and posixpath.normpath(path) == path
    )


def _redacted(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "***"
    user_info, at, address = rest.rpartition("@")  # the last one: a raw @ may be part of the password
    user, colon, _ = user_info.partition(":")
    shown = f"{user}:***" if colon else "***"
    safe_address = _SECRET_QUERY.sub(r"\1***", address)
    return f"{scheme}://{shown}@{safe_address}" if at else f"{scheme}://{safe_address}"
