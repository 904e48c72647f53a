"""The console script `orchestrator`. It answers `--version` by itself, and imports the commands for everything else."""

import sys

from orchestrator import __version__
from orchestrator.cli.shared.collecting import collect_hardly_ever
from orchestrator.cli.shared.output import finish_output, is_full, print_line, say


def main() -> None:
    """Run the console script."""
    collect_hardly_ever()
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
