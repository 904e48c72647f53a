"""CPU of a ping at a provider with many exclusive keys ÷ at a provider with one key."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.settings import SecretStore
from tests.bench.figures import Better, Figure
from tests.bench.lines.pings import ping_all
from tests.bench.run import Run, middle, say
from tests.bench.seeds import Seeds, seed
from tests.bench.stage import Stage

#: Name of a case → its keys, and whether they are files.
_CASES = {"1": (1, False), "500": (500, False), "3000": (3_000, False), "500-files": (500, True)}
_CAP = 64
#: Flat: what is left of a difference is noise.
_MUST, _GOAL = 1.3, 1.1


def measure(run: Run) -> Iterator[Figure]:
    """Measure each case in a process of its own, always with as many pings."""
    pings = run.size.rows(1_000, 300)
    cpu_ms = {name: _cpu_ms(run, *case, pings) for name, case in _CASES.items()}
    for name, used in cpu_ms.items():
        if name == "1":
            continue
        yield Figure(
            name=f"keys/{name}",
            title=f"CPU of a ping at a provider of {name} exclusive keys ÷ at one with one key",
            value=used / cpu_ms["1"],
            better=Better.LESS,
            peer="a provider with one key",
            must=_MUST,
            goal=_GOAL,
            absolute={"CPU-ms of a ping": used, "CPU-ms with one key": cpu_ms["1"]},
        )


def _cpu_ms(run: Run, keys: int, files: bool, pings: int) -> float:
    with run.upstreams({"alpha": 0}) as urls, run.stage("keys") as stage:
        refs = _references(stage, keys, files=files)
        provider: dict[str, Any] = {"base_url": urls["alpha"], "max_in_flight": _CAP}
        if keys > 1:
            provider |= {"driver": "morpheus", "credentials": refs}
        stage.configure({"alpha": provider})
        plain = Seeds(sessions=max(keys, pings), accounts=50, providers=urls)
        several = replace(plain, keys=refs, fingerprints=_fingerprints(stage, refs))
        seed(stage, several if keys > 1 else plain)
        worker = stage.worker("ping")
        ping_all(stage, worker, pings // 4)
        used = middle([1000 / ping_all(stage, worker, pings).per_cpu for _ in range(run.size.rounds)])
    say(f"keys: {used:.2f} CPU-ms of a ping at {keys:,}{' files' if files else ''}")
    return used


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
