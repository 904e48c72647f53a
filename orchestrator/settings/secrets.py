"""Secrets by reference: `env:NAME` and `file:/path`. Only references travel; values are read when used."""

import hashlib
import hmac
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference
from orchestrator.settings.faults import Fault

FINGERPRINT_KEY = "ORCHESTRATOR_FINGERPRINT_KEY"

#: Bytes read of a secret's file: more is no secret but a mistaken path.
_LONGEST = 64 * 1024
#: Seconds after which a file's times show every later change, however coarse the clock of its file system is.
_WRITTEN_JUST_NOW = 5.0
#: Without a key of its own an installation's fingerprints still differ from a plain hash found in a table.
_APPLICATION_KEY = b"session-orchestrator/credential-fingerprint/v1"
#: How long a look at the keys is used by claims. Each call compares the fingerprint of its own key again.
KEPT_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """What a file held, and how it looked then."""

    looks: tuple[int, ...]
    found: tuple[str | None, str | None]


class SecretStore:
    """Looks secrets up at each use, so that a changed one is seen without a restart. A file is read again when it has
    changed, and a fingerprint is computed again when its secret has."""

    def __init__(self, environ: Mapping[str, str] | None = None, fingerprint_key: str | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        key = fingerprint_key or self._environ.get(FINGERPRINT_KEY)
        self._key = key.encode() if key else _APPLICATION_KEY
        self._found: set[str] = set()
        self._resolved: frozenset[str] = frozenset()
        self._files: dict[str, _ReadFile] = {}
        self._fingerprints: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return "SecretStore()"

    def get(self, ref: str) -> str | None:
        """Return the secret, without a newline at its end; None if it is missing or empty."""
        value, _ = self._look_up(ref)
        if value is not None:
            self._found.add(value)
        return value

    def resolved(self) -> frozenset[str]:
        """Return every secret that this process has looked up: none may appear in texts for people."""
        if len(self._resolved) != len(self._found):
            self._resolved = frozenset(self._found)
        return self._resolved

    def why_missing(self, ref: str) -> str | None:
        """Return why the secret is missing, as a sentence for people; None if it exists."""
        _, reason = self._look_up(ref)
        return reason

    def missing(self, refs: Iterable[str]) -> list[Fault]:
        """Return one fault per reference that leads to nothing."""
        reasons = ((ref, self.why_missing(ref)) for ref in refs)
        return [Fault((ref,), reason) for ref, reason in reasons if reason]

    def fingerprint(self, ref: str) -> str | None:
        """Return a value that changes with the secret, and does not reveal it."""
        value = self.get(ref)
        return None if value is None else self._fingerprint_of(ref, value)

    def matching(self, ref: str, fingerprint: str) -> str | None:
        """Return the secret if it has this fingerprint. It is looked up once, so that no other can take its place
        between the comparison and the use."""
        value = self.get(ref)
        return None if value is None or self._fingerprint_of(ref, value) != fingerprint else value

    def _fingerprint_of(self, ref: str, value: str) -> str:
        known, fingerprint = self._fingerprints.get(ref, (None, ""))
        if known != value:
            secret = value.encode("utf-8", "surrogateescape")
            fingerprint = hmac.new(self._key, secret, hashlib.sha256).hexdigest()[:32]
            self._fingerprints[ref] = value, fingerprint
        return fingerprint

    def _look_up(self, ref: str) -> tuple[str | None, str | None]:
        """Return the secret, or why there is none."""
        if not is_reference(ref):
            return None, NOT_A_REFERENCE
        kind, _, name = ref.partition(":")
        return self._from_environment(name) if kind == "env" else self._from_file(name)

    def _from_environment(self, name: str) -> tuple[str | None, str | None]:
        value = self._environ.get(name)
        if value is None:
            return None, f"environment variable {name} is not set"
        return _unless_empty(value, f"environment variable {name}")

    def _from_file(self, path: str) -> tuple[str | None, str | None]:
        """Read the file, unless it looks as it did when it was read last. A file that was written just now may be
        written again without looking different."""
        try:
            seen = os.stat(path)
        except OSError as error:
            return None, f"file {path} cannot be read ({error.strerror})"
        looks = (seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino, seen.st_dev)
        known = self._files.get(path)
        if known is not None and known.looks == looks:
            return known.found
        found = _read(path)
        just_now = time.time() - max(seen.st_mtime, seen.st_ctime) <= _WRITTEN_JUST_NOW
        if found[0] is not None and not just_now:  # a failure to read may be over, however the file looks
            self._files[path] = _ReadFile(looks, found)
        return found


def _read(path: str) -> tuple[str | None, str | None]:
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


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one provider, as they were found."""

    held: Mapping[str, str]
    """Fingerprint → reference of the secrets that this worker has."""
    lacking: frozenset[str]
    """The references that it cannot resolve."""


class KeyRings:
    """The key rings of one process, by provider: looked through every five seconds at most, however many they are.
    Threads may share it: at worst two of them look at once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[datetime, KeyRing]] = {}

    def of(
        self, provider: str, refs: Sequence[str], secrets: SecretStore, now: datetime | None = None
    ) -> KeyRing:
        """Return the key ring; found recently where `now` is given, else found at once."""
        at, found = self._found.get(provider, (None, None))
        if found is not None and at is not None and now is not None and at <= now < at + KEPT_FOR:
            return found
        ring = resolve_all(refs, secrets)
        if now is not None:
            self._found[provider] = now, ring
        return ring


def resolve_all(refs: Sequence[str], secrets: SecretStore) -> KeyRing:
    """Look every reference up."""
    found = [(secrets.fingerprint(ref), ref) for ref in refs]
    return KeyRing(
        held={fingerprint: ref for fingerprint, ref in found if fingerprint is not None},
        lacking=frozenset(ref for fingerprint, ref in found if fingerprint is None),
    )
