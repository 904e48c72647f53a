"""Where the private Valkey listens: a path that every process derives from the data directory."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

#: Bytes of a socket's path. The kernel takes 104 (macOS) or 108 (Linux) with the closing zero.
LONGEST_PATH = 100


def private_socket(data_dir: Path) -> Path:
    """Return the socket of the Valkey that belongs to `data_dir`. Raises ValueError if there is no possible one."""
    directory = data_dir.expanduser().absolute()
    return _fitting(directory / "valkey.sock") or _short(directory)


def socket_url(path: Path) -> str:
    """Return the URL as kombu and Celery's result backend both write it."""
    return f"redis+socket://{quote(str(path))}"


def _fitting(path: Path) -> Path | None:
    """Return the path, or None if it is too long for the kernel or has letters that Valkey's configuration must
    quote."""
    is_plain = not any(letter.isspace() or letter in "\"'\\" for letter in str(path))
    return path if is_plain and len(os.fsencode(path)) <= LONGEST_PATH else None


def _short(directory: Path) -> Path:
    """Return a short path for any other directory: in a directory of this user's own, named by a hash of the long
    path."""
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    parent = Path(tempfile.gettempdir()) / f"orchestrator-{os.getuid()}"
    path = _fitting(parent / f"{name}.sock")
    if path is None:
        raise ValueError("cannot hold a socket, and neither can TMPDIR: choose a shorter path without blanks")
    _make_private(parent)
    return path


def _make_private(directory: Path) -> None:
    """Make the directory private. Every user may write in its parent, so trust only a directory that is ours alone."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ValueError(
            f"cannot hold a socket, and {directory} cannot be created: {error.strerror}"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ValueError(f"cannot hold a socket, and {directory} is not private to this user (mode 0700)")
