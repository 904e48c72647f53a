"""`python -m tests.processes.losing worker`: a real worker in which a ping ends the event loop if the file that LOSING
names exists. The file is removed first, so that it happens once."""

import os
from pathlib import Path

from orchestrator.cli import main as command
from orchestrator.providers.http.client import Call, HttpClient
from orchestrator.providers.port.answers import Response


def main() -> None:
    """Run the command line of `orchestrator`, with a client that may end its loop."""
    ask, file = HttpClient.ask, Path(os.environ["LOSING"])

    async def lose(self: HttpClient, call: Call) -> Response:
        if call.url.endswith("/chat/completions"):
            _end_once(file)
        return await ask(self, call)

    HttpClient.ask = lose  # type: ignore[method-assign]
    command.main()


def _end_once(file: Path) -> None:
    if file.exists():
        file.unlink()
        raise SystemExit(3)


if __name__ == "__main__":
    main()
