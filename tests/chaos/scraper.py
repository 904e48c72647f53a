"""What Prometheus would see of a run: the metrics of every worker and scheduler, every other second."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.tools.promtool import Samples, alerts, true_at_some_time

EVERY = timedelta(seconds=2)
#: Two workers and two schedulers, and ports that a killed one has left a moment ago.
PORTS, ANSWERS_WITHIN = 6, 1.5


class Scraper:
    """Scrapes the ports from `port` on until it is stopped."""

    def __init__(self, port: int) -> None:
        self._ports = range(port, port + PORTS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples = Samples(datetime.now(UTC), EVERY)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def held(self, directory: Path) -> set[str]:
        """Return the alerts whose expression held at some time; how long they wait is left out."""
        return true_at_some_time(
            self.samples, {name: rule["expr"] for name, rule in alerts().items()}, directory
        )

    def _run(self) -> None:
        while not self._over.is_set():
            now = datetime.now(UTC)
            for port in self._ports:
                self.samples.add(now, _scraped(port), instance=str(port))
            self._over.wait((now + EVERY - datetime.now(UTC)).total_seconds())


def _scraped(port: int) -> Sequence[Metric]:
    """Return what is served there; nothing where no process answers."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ANSWERS_WITHIN) as response:
        return list(text_string_to_metric_families(response.read().decode()))
    return []
