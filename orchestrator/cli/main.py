"""The console script `orchestrator`. It answers `--version` by itself, and imports the commands for everything else."""

import gc
import sys

from orchestrator import __version__
from orchestrator.cli.shared.output import finish_output, is_full, print_line, say

#: Objects that come to life before the collector looks for cycles. Imports make hundreds of thousands that stay: with
#: Python's own 700, the collector would go through them again and again.
_COLLECT_AFTER = 20_000


def main() -> None:
    """Run the console script."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        try:
            _run()
        finally:
            finish_output()
    except BrokenPipeError:  # the reader has closed its pipe; typer ends its own commands so
        sys.exit(1)
    except OSError as error:
        if not is_full(error):
            raise
        say(f"error: cannot write the output: {error.strerror}")
        sys.exit(1)


def _run() -> None:
    if sys.argv[1:] == ["--version"]:
        print_line(f"orchestrator {__version__}")
        return
    from orchestrator.cli.tree import app

    app(prog_name="orchestrator")
