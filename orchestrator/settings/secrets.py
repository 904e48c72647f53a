"""Secrets by reference: `env:NAME` and `file:/path`. Only references travel; values are read when used."""

import hashlib
import hmac
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.settings.faults import Fault

FINGERPRINT_KEY = "ORCHESTRATOR_FINGERPRINT_KEY"

#: Bytes read of a secret's file: more is no secret but a mistaken path.
_LONGEST = 64 * 1024
_ENVIRONMENT = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,199}")
#: Without a key of its own an installation's fingerprints still differ from a plain hash found in a table.
_APPLICATION_KEY = b"session-orchestrator/credential-fingerprint/v1"


def is_reference(text: str) -> bool:
    """Return True for `env:NAME` and for `file:/path` in shortest form (`..` could slip past a rule)."""
    if text.startswith("file:"):
        path = text.removeprefix("file:")
        return path.isprintable() and len(path) <= 1000 and _is_plain(path)
    return _ENVIRONMENT.fullmatch(text) is not None


def _is_plain(path: str) -> bool:
    return (
        path.startswith("/")
        and path != "/"
        and not path.startswith("//")
        and posixpath.normpath(path) == path
    )


class SecretStore:
    """Looks secrets up at each use, so that a rotated one is seen without a restart."""

    def __init__(self, environ: Mapping[str, str] | None = None, fingerprint_key: str | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        key = fingerprint_key or self._environ.get(FINGERPRINT_KEY)
        self._key = key.encode() if key else _APPLICATION_KEY
        self._resolved: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return "SecretStore()"

    def get(self, ref: str) -> str | None:
        """Return the secret, without a newline at its end; None where it is missing or empty."""
        value, _ = self._look_up(ref)
        if value is not None and value not in self._resolved:
            self._resolved |= {value}
        return value

    def resolved(self) -> frozenset[str]:
        """Return every secret that was looked up here since this process began: none may appear in what people read."""
        return self._resolved

    def why_missing(self, ref: str) -> str | None:
        """Return a sentence for people, or None where the secret is there."""
        _, reason = self._look_up(ref)
        return reason

    def missing(self, refs: Iterable[str]) -> list[Fault]:
        """Return one fault per reference that leads to nothing."""
        reasons = ((ref, self.why_missing(ref)) for ref in refs)
        return [Fault(ref, reason) for ref, reason in reasons if reason]

    def fingerprint(self, ref: str) -> str | None:
        """Return what shows whether a secret changed, without showing the secret."""
        value = self.get(ref)
        if value is None:
            return None
        return hmac.new(self._key, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]

    def _look_up(self, ref: str) -> tuple[str | None, str | None]:
        """Return the secret, or why there is none."""
        if not is_reference(ref):
            return None, "must be env:NAME or file:/path, never the secret itself"
        kind, _, name = ref.partition(":")
        return self._from_environment(name) if kind == "env" else _from_file(name)

    def _from_environment(self, name: str) -> tuple[str | None, str | None]:
        value = self._environ.get(name)
        if value is None:
            return None, f"environment variable {name} is not set"
        return _unless_empty(value, f"environment variable {name}")


def _from_file(path: str) -> tuple[str | None, str | None]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST + 1)
        text = content.decode()
    except UnicodeDecodeError:
        return None, f"file {path} is not UTF-8 text"
    except OSError as error:
        return None, f"file {path} cannot be read ({error.strerror})"
    if len(content) > _LONGEST:
        return None, f"file {path} is longer than {_LONGEST} bytes"
    return _unless_empty(text, f"file {path}")


def _unless_empty(value: str, where: str) -> tuple[str | None, str | None]:
    value = value.rstrip("\r\n")
    return (value, None) if value else (None, f"{where} is empty")
