"""Chromium without a screen, driven by selenium."""

import json
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.waiting import WAIT_LIMIT, eventually

HERE = Path(__file__).parent
AXE = HERE / "axe-4.14.1.min.js"
#: Screenshots of the last run; ignored by git.
SHOTS = HERE / "screenshots"
WIDE, NARROW = (1360, 900), (390, 844)
HOW_TO_GET_IT = (
    "make test-web needs a Chromium and its driver of the same version. On Debian and Ubuntu:"
    " apt-get install chromium chromium-driver. Elsewhere put `chromium` and `chromedriver` into PATH."
)


class NoBrowser(Exception):
    """The browser is missing. The message says how to get it."""


class Browser:
    """One window, and what a person does in it."""

    def __init__(self, url: str) -> None:
        """Open it. Raises NoBrowser."""
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        driver = shutil.which("chromedriver")
        if program is None or driver is None:
            raise NoBrowser(HOW_TO_GET_IT)
        options = Options()
        options.binary_location = program
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-proxy-server",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url = url
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_page_load_timeout(WAIT_LIMIT)
        self.resize(WIDE)

    def close(self) -> None:
        """Close it."""
        self.driver.quit()

    def go(self, path: str) -> None:
        """Open a page."""
        self.driver.get(path if path.startswith("http") else f"{self.url}{path}")

    @property
    def path(self) -> str:
        """The page that is open."""
        return str(self.driver.current_url).removeprefix(self.url)

    @property
    def text(self) -> str:
        """What the page says."""
        said = str(self.driver.execute_script("return document.body.innerText"))  # a page may be replaced
        return said.replace("\t", " ")

    def find(self, selector: str) -> WebElement:
        """Return the first element of this selector, once it is there."""
        found: WebElement = WebDriverWait(self.driver, WAIT_LIMIT).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, selector)
        )
        return found

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements of this selector."""
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        """Return what all elements of this selector say, at one moment."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), one => one.innerText)"
        return [str(text) for text in self.driver.execute_script(script, selector)]

    def fill(self, name: str, value: str) -> None:
        """Type into the field of this name."""
        field = self.find(f"main [name='{name}']")
        field.clear()
        field.send_keys(value)

    def click(self, selector: str) -> None:
        """Click, as the pointer does."""
        element = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def follow(self, words: str) -> None:
        """Follow the link, or press the button, that says this, and wait for its page."""
        before = self.find("html")
        eventually(lambda: self._pressed(words), f"a link or button {words!r}")
        WebDriverWait(self.driver, WAIT_LIMIT).until(lambda _: _is_gone(before))
        self.find("main")

    def press(self, by: str, what: str) -> None:
        """Press what is found so, and wait for its page; without scripts."""
        before = self.find("html")
        self.driver.find_element(by, what).click()
        WebDriverWait(self.driver, WAIT_LIMIT).until(lambda _: _is_gone(before))
        self.find("main")

    def _pressed(self, words: str) -> bool:
        """Press what says this; return False if it is not there, or was loaded again meanwhile."""
        try:
            for one in self.all("main a, main button"):
                if one.text.strip() == words:
                    self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
                    one.click()
                    return True
        except StaleElementReferenceException:
            pass
        return False

    def until(self, what: str) -> None:
        """Wait until the page says this, by itself."""
        WebDriverWait(self.driver, WAIT_LIMIT).until(lambda _: what in self.text, f"the page says {what!r}")

    def resize(self, size: tuple[int, int]) -> None:
        """Make the window as large, or a telephone as narrow."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == NARROW}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def darken(self, *, dark: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def shoot(self, name: str) -> None:
        """Write a picture of the whole page."""
        SHOTS.mkdir(exist_ok=True)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        width = self.driver.execute_script("return window.innerWidth")
        size = {
            "width": width,
            "height": min(max(height, 700), 4000),
            "deviceScaleFactor": 1,
            "mobile": False,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.save_screenshot(str(SHOTS / f"{name}.png"))

    def complaints(self) -> list[str]:
        """Return what the console of the browser complains of since the last look."""
        return [one["message"] for one in _log_of(self.driver) if one["level"] in {"SEVERE", "WARNING"}]

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the page that is open."""
        self.driver.execute_script(AXE.read_text())
        result: Any = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run(document).then((found) => done(JSON.stringify("
            "found.violations.map((v) => [v.id, v.nodes.map((n) => n.html + ' ' + n.failureSummary)]))))"
        )
        return [f"{name}: {nodes}" for name, nodes in json.loads(result)]

    def sideways(self) -> bool:
        """Return whether the page is wider than its window."""
        return bool(
            self.driver.execute_script("return document.documentElement.scrollWidth > window.innerWidth + 1")
        )


def _log_of(driver: Any) -> list[dict[str, Any]]:
    return list(driver.get_log("browser"))


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except Exception:  # noqa: BLE001  (selenium has several errors for it)
        return True
    return False
