"""The person at the terminal."""

import getpass
import os
import socket


def person() -> str:
    """Return who runs this command, as `user@host`."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user that the system has no name for
        return f"uid {os.getuid()}@{socket.gethostname()}"
