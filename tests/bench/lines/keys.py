"""CPU of a ping at a provider with many exclusive keys ÷ at a provider with one key."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.settings import SecretStore
from tests.bench.figures import Better, Figure
from tests.bench.lines.pings import ping_all
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage
from tests.processes.platform import Running

#: Name of a case → its keys, and whether they are files.
_CASES = {"1": (1, False), "500": (500, False), "3000": (3_000, False), "500-files": (500, True)}
_CAP = 64
#: Rounds at least: the cases alternate, and other work on the machine falls on all of them.
_ROUNDS = 3
#: Flat: what is left of a difference is noise.
_MUST, _GOAL = 1.3, 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """A database with a ping process of its own."""

    stage: Stage
    worker: Running
    sessions: int
    """Pinged together: not more than there are keys."""
    times: int

    def cpu_ms(self) -> float:
        """Ping the sessions this many times; return what a ping took."""
        rounds = [ping_all(self.stage, self.worker, self.sessions) for _ in range(self.times)]
        return 1000 * sum(one.cpu for one in rounds) / (self.sessions * self.times)


def measure(run: Run) -> Iterator[Figure]:
    """Measure the cases by turns, each in a process of its own. Before that every session was pinged once, as almost
    all were that live."""
    with ExitStack() as closing:
        cases = {
            name: _case(run, *case, run.size.rows(3_000, 1_000), closing) for name, case in _CASES.items()
        }
        for case in cases.values():
            case.cpu_ms()
        rounds = [
            {name: case.cpu_ms() for name, case in cases.items()}
            for _ in range(max(run.size.rounds, _ROUNDS))
        ]
    cpu_ms = {name: middle([one[name] for one in rounds]) for name in _CASES}
    say(f"keys: CPU-ms of a ping {', '.join(f'{used:.3f} at {name}' for name, used in cpu_ms.items())}")
    for name, used in cpu_ms.items():
        if name == "1":
            continue
        yield Figure(
            name=f"keys/{name}",
            title=f"CPU of a ping at a provider of {name} exclusive keys ÷ at one with one key",
            value=middle([one[name] / one["1"] for one in rounds]),
            better=Better.LESS,
            peer="a provider with one key",
            must=_MUST,
            goal=_GOAL,
            absolute={"CPU-ms of a ping": used, "CPU-ms with one key": cpu_ms["1"]},
        )


def _case(run: Run, keys: int, files: bool, pings: int, closing: ExitStack) -> _Case:
    urls = closing.enter_context(run.upstreams({"alpha": 0}))
    stage = closing.enter_context(run.stage("keys"))
    refs = _references(stage, keys, files=files)
    provider: dict[str, Any] = {"base_url": urls["alpha"], "max_in_flight": _CAP}
    if keys > 1:
        provider |= {"driver": "morpheus", "credentials": refs}
    stage.configure({"alpha": provider})
    plain = Seeds(sessions=keys if keys > 1 else pings, accounts=50, providers=urls)
    several = replace(plain, keys=refs, fingerprints=_fingerprints(stage, refs))
    seed(stage, several if keys > 1 else plain)
    together = min(plain.sessions, pings)
    return _Case(stage=stage, worker=stage.worker("ping"), sessions=together, times=pings // together)


def _references(stage: Stage, keys: int, *, files: bool) -> list[str]:
    """Return references, and put the secrets where they lead."""
    if not files:
        stage.env |= {f"KEY_{n}": f"sk-{n:06}" for n in range(keys)}
        return [f"env:KEY_{n}" for n in range(keys)]
    paths = [stage.directory / f"key-{n}" for n in range(keys)]
    for n, path in enumerate(paths):
        path.write_text(f"sk-{n:06}\n")
        path.chmod(0o600)
    return [f"file:{path}" for path in paths]


def _fingerprints(stage: Stage, refs: Sequence[str]) -> list[str]:
    secrets = SecretStore(environ=stage.env)
    return [secrets.fingerprint(ref) or "" for ref in refs]
