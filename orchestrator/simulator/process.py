"""The simulator as a process of its own."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from orchestrator.simulator.hosting import Host, is_loopback
from orchestrator.simulator.specs import BadInput
from orchestrator.simulator.world import Simulator


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Return 2 if the arguments or the preload file must be changed."""
    given = _parser().parse_args(arguments)
    try:
        run(given.host, given.port, given.preload, given.ready_file, allow_remote=given.allow_remote)
    except BadInput as wrong:
        sys.stderr.write(f"{json.dumps(wrong.payload, ensure_ascii=False)}\n")
        return 2
    except OSError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


def run(
    host: str = "127.0.0.1",
    port: int = 0,
    preload: Path | None = None,
    ready_file: Path | None = None,
    *,
    allow_remote: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; BadInput when host or preload are not acceptable."""
    if not allow_remote and not is_loopback(host):
        raise BadInput(f"{host} can be reached from elsewhere, and a simulator has no password")
    simulated = Host(Simulator())
    if preload is not None:
        simulated.operator.preload(preload)
    asyncio.run(_serve(simulated, host, port, ready_file))


async def _serve(simulated: Host, host: str, port: int, ready_file: Path | None) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    try:
        _announce(json.dumps({"url": await simulated.start(host, port)}), ready_file)
        await over.wait()
    finally:
        await simulated.stop()


def _announce(line: str, ready_file: Path | None) -> None:
    if ready_file is not None:
        unfinished = ready_file.with_name(f"{ready_file.name}.part")
        unfinished.write_text(f"{line}\n")
        unfinished.replace(ready_file)  # a reader of the file finds it complete
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--preload", type=Path, help="upstreams and faults as JSON")
    parser.add_argument("--ready-file", type=Path, help="written once the server listens")
    parser.add_argument("--allow-remote", action="store_true", help="permit a host other than loopback")
    return parser
