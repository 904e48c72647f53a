"""URLs of databases and brokers: which ones are accepted."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from orchestrator.rules.installation.secret_texts import split_urls, with_certificates_checked

REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+socket"})
BROKER_SCHEMES = REDIS_SCHEMES | {"sentinel", "amqp", "amqps"}
RESULT_SCHEMES = REDIS_SCHEMES | {"sentinel", "rpc"}

_POSTGRESQL = re.compile(r"^postgres(ql)?(\+psycopg)?://", re.IGNORECASE)
_SEVERAL_HOSTS = re.compile(r"^[a-z+]+://(?:[^/?#]*@)?[^/?#@]+,", re.IGNORECASE)


def database_url(url: str) -> str:
    """Return the URL as SQLAlchemy takes it. Raises ValueError with a sentence for people."""
    if _POSTGRESQL.match(url):
        if _SEVERAL_HOSTS.match(url):
            raise ValueError("names several hosts: write them as …/NAME?host=HOST1:PORT&host=HOST2:PORT")
        _check_address(url)
        return _POSTGRESQL.sub("postgresql+psycopg://", url)
    if not url.startswith("sqlite:///"):
        raise ValueError("must begin with sqlite:/// or postgresql+psycopg://")
    path = url.removeprefix("sqlite:///")
    if path in {"", ":memory:"}:
        raise ValueError("must name a file (sqlite:///orchestrator.db): several processes share the database")
    if (
        path.startswith("file:") or "?" in path or not path.isprintable()
    ):  # SQLite would choose mode and kind itself
        raise ValueError("must be sqlite:/// and a path, without file: and without options after ?")
    return url


def broker_url(url: str) -> str:
    return _of_scheme(url, BROKER_SCHEMES)


def result_url(url: str) -> str:
    return _of_scheme(url, RESULT_SCHEMES)


def derived_result_url(broker: str) -> str:
    """Return where outcomes of jobs go by default: the broker if it can store them, else a reply to the caller."""
    return "rpc://" if scheme_of(broker) in {"amqp", "amqps"} else broker


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def base_url(url: str) -> str:
    """Return the address of an HTTP service, without a slash at its end. Raises ValueError with a sentence."""
    _check_address(url)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "must not contain a user, password, query or fragment: secrets are given by reference"
        )
    return url.rstrip("/")


def _of_scheme(url: str, schemes: Collection[str]) -> str:
    for part in split_urls(url):
        if scheme_of(part) not in schemes:
            known = ", ".join(f"{scheme}://" for scheme in sorted(schemes))
            raise ValueError(f"must begin with one of {known}")
        _check_address(part)
    return with_certificates_checked(url)


def _check_address(url: str) -> None:
    """Refuse an address that would fail later, with the password in the message."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError(
            "has no valid host and port: write scheme://user:password@host:port/…, "
            "with / @ : # of a password as %2F %40 %3A %23"
        ) from None
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("holds a blank or a control character: write it as %20")
