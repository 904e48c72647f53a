"""The keys of a terminal: read without waiting for Enter, and identified by the bytes that they send."""

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.cli.top import screen

#: What a terminal sends for keys that are no letters.
_SENT = {
    b"\x1b[A": screen.UP,
    b"\x1b[B": screen.DOWN,
    b"\x1bOA": screen.UP,
    b"\x1bOB": screen.DOWN,
    b"\x1b[5~": screen.PAGE_UP,
    b"\x1b[6~": screen.PAGE_DOWN,
    b"\x1b[H": screen.HOME,
    b"\x1b[F": screen.END,
    b"\x1b[1~": screen.HOME,
    b"\x1b[4~": screen.END,
    b"\r": screen.ENTER,
    b"\n": screen.ENTER,
    b"\x7f": screen.BACKSPACE,
    b"\x08": screen.BACKSPACE,
    b"\x03": screen.INTERRUPT,
    b"\x04": screen.INTERRUPT,
}
_LONGEST_FIRST = sorted(_SENT, key=len, reverse=True)
#: Letters, up to the next key that is none; at least one byte.
_TEXT = re.compile(rb"[^\x1b][^\x1b\r\n\x7f\x08\x03\x04]*")
_MOST = 1024


def decoded(sent: bytes) -> Sequence[str]:
    """Return the keys behind the bytes that a terminal sent at once. Unknown sequences are no keys."""
    return list(_keys(sent))


def _keys(sent: bytes) -> Iterator[str]:
    while sent:
        known = next((one for one in _LONGEST_FIRST if sent.startswith(one)), None)
        if known is not None:
            yield _SENT[known]
            sent = sent[len(known) :]
        elif sent.startswith(b"\x1b"):
            if len(sent) == 1:
                yield screen.ESCAPE
            return  # of an unknown sequence nothing is known, not even its end
        else:
            text = _TEXT.match(sent)
            assert text is not None
            yield from (key for key in text[0].decode(errors="ignore") if key.isprintable())
            sent = sent[text.end() :]


@contextmanager
def keys_of(stream: int) -> Iterator["Keyboard"]:
    """Read single keys of this terminal, and leave it as it was."""
    before = termios.tcgetattr(stream)
    tty.setcbreak(stream)
    try:
        yield Keyboard(stream)
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


class Keyboard:
    """A terminal that sends keys."""

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def wait(self, seconds: float) -> Sequence[str]:
        """Return the keys that were pressed, as soon as there are any; none after this many seconds."""
        ready, _, _ = select.select([self._stream], [], [], seconds)
        if not ready:
            return []
        sent = os.read(self._stream, _MOST)
        return decoded(sent) if sent else [screen.INTERRUPT]


def is_terminal() -> bool:
    """Return whether a person could see the screen and press keys."""
    return sys.stdin.isatty() and sys.stdout.isatty()
