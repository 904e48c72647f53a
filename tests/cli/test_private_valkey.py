"""The private Valkey of `orchestrator up`: one alone writes in its directory, whatever was killed before."""

from pathlib import Path

from orchestrator.cli import private_valkey
from orchestrator.settings import Settings


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
