"""CPU of `orchestrator --version` ÷ that of Python alone, and of `orchestrator session list`."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.figures import Better, Figure
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage

_COMMAND = str(Path(sys.executable).parent / "orchestrator")
_NOTHING = (sys.executable, "-c", "pass")


def measure(run: Run) -> Iterator[Figure]:
    """Measure by turns."""
    with run.stage("startup") as stage:
        url = "http://127.0.0.1:9/v1"
        stage.configure({"alpha": {"base_url": url}})
        seed(stage, Seeds(sessions=50, accounts=5, providers={"alpha": url}))
        commands = {
            "nothing": _NOTHING,
            "version": (_COMMAND, "--version"),
            "list": (_COMMAND, "session", "list"),
        }
        for command in commands.values():
            _cpu_ms(stage, command)  # compiles what it imports
        used: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(4 * run.size.rounds):
            for name, command in commands.items():
                used[name].append(_cpu_ms(stage, command))
    say("startup: " + ", ".join(f"{name} {middle(times):.0f} CPU-ms" for name, times in used.items()))
    yield Figure(
        name="startup/version",
        title="CPU of `orchestrator --version` ÷ `python -c pass`",
        value=middle([ours / bare for ours, bare in zip(used["version"], used["nothing"], strict=True)]),
        better=Better.LESS,
        peer="python -c pass",
        must=3,
        goal=2,
        absolute={"CPU-ms": middle(used["version"]), "CPU-ms of Python alone": middle(used["nothing"])},
    )
    yield Figure(
        name="startup/list",
        title="CPU of `orchestrator session list` ÷ `python -c pass`",
        value=middle([ours / bare for ours, bare in zip(used["list"], used["nothing"], strict=True)]),
        better=Better.LESS,
        peer="python -c pass",
    )
    yield Figure(
        name="startup/list-seconds",
        title="CPU of `orchestrator session list`",
        value=middle(used["list"]) / 1000,
        unit="CPU-s",
        better=Better.LESS,
        must=0.6,
        goal=0.4,
    )


def _cpu_ms(stage: Stage, command: Sequence[str]) -> float:
    process = subprocess.Popen(
        command, env=stage.env, cwd=stage.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    assert process.returncode == 0, said
    return 1000 * (usage.ru_utime + usage.ru_stime)
