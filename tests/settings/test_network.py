"""The canary's URL is checked where the file is read."""

from pathlib import Path

import pytest

from orchestrator.settings import ConfigurationError, load_configuration


def _read(tmp_path: Path, text: str) -> str | None:
    path = tmp_path / "orchestrator.toml"
    path.write_text(text)
    return load_configuration(path).canary_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        pytest.param("", None, id="none"),
        pytest.param(
            '[network]\ncanary_url = "https://status.example/ping"', "https://status.example/ping", id="one"
        ),
    ],
)
def test_a_canary_may_be_named(tmp_path: Path, text: str, url: str | None) -> None:
    assert _read(tmp_path, text) == url


@pytest.mark.parametrize(
    "wrong", ['canary_url = "ftp://x"', "canary_url = 7", 'canary = "https://x.example"']
)
def test_a_canary_that_cannot_be_asked_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"network\.canary"):
        _read(tmp_path, f"[network]\n{wrong}")
