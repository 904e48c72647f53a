"""Run something in a process of its own, so that what it imports takes no memory here."""

import os
import pickle
import threading
from collections.abc import Callable


def run_apart(work: Callable[[], None]) -> None:
    """Run `work` in a fork, and wait for its end. It ends with this process, too. Call it before any thread is started.

    Raises what `work` raises."""
    alive_read, alive_write = os.pipe()
    said_read, said_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(alive_write)
        threading.Thread(target=_end_with, args=(alive_read,), daemon=True).start()
        _report_error(said_write, _error_of(work))
        os._exit(0)
    os.close(said_write)
    with os.fdopen(said_read, "rb") as said:
        reported = said.read()
    os.waitpid(child, 0)
    os.close(alive_read)
    os.close(alive_write)
    error = pickle.loads(reported) if reported else RuntimeError("a process of its own ended early")  # noqa: S301  (our own)
    if error is not None:
        raise error


def _error_of(work: Callable[[], None]) -> BaseException | None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001  (it is raised again in the other process)
        return error
    return None


def _report_error(said: int, error: BaseException | None) -> None:
    with os.fdopen(said, "wb") as file:
        try:
            file.write(pickle.dumps(error))
        except Exception:  # noqa: BLE001  (an error that cannot be copied: its kind can)
            file.write(pickle.dumps(RuntimeError(type(error).__name__)))


def _end_with(alive: int) -> None:
    """Wait until the other process is gone: it holds the pipe's other end."""
    os.read(alive, 1)
    os._exit(1)
