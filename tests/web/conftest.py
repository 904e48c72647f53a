"""One live platform and one browser for all tests here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.web.browser import Browser, NoBrowser
from tests.web.live import LiveInstallation, live_platform, stock

pytestmark = [pytest.mark.web, pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True)
class Shown:
    """What tests look at: a platform, its sessions by name, and a browser that has signed in by the link."""

    live: LiveInstallation
    ids: dict[str, str]
    browser: Browser


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Start everything once. Without a browser, the tests fail and say how to get one."""
    directory: Path = tmp_path_factory.mktemp("web")
    with live_platform(directory) as live:
        try:
            browser = Browser(live.url)
        except NoBrowser as missing:
            pytest.fail(str(missing), pytrace=False)
        try:
            ids = stock(live)
            browser.go(live.link)
            browser.until("Overview")
            yield Shown(live, ids, browser)
        finally:
            browser.close()
