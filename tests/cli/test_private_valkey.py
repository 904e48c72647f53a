"""The private Valkey of `orchestrator up`: one alone writes in its directory, after any kill."""

from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from orchestrator.processes import private_valkey
from orchestrator.settings import Settings
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def test_one_that_outlived_its_tree_and_its_guard_is_stopped_before_another_starts(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.private_socket is not None
    left_over = private_valkey._start(tmp_path, settings.private_socket)
    assert left_over.poll() is None
    try:
        with private_valkey.running(settings) as is_there:
            assert left_over.wait(10) == 0, "it wrote what it held"
            assert is_there()
    finally:
        left_over.kill()
        left_over.wait()


def test_one_whose_disk_takes_no_more_is_there_all_the_same(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with private_valkey.running(settings) as is_there:
        redis = Redis(unix_socket_path=str(settings.private_socket))
        redis.config_set("save", "3600 1")
        (tmp_path / "data" / "dump.rdb").mkdir()  # which no file replaces
        redis.bgsave()
        eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that fails")
        with pytest.raises(ResponseError, match="MISCONF"):
            redis.ping()
        assert is_there()
