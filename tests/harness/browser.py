"""Open pages in Debian's Chromium, and record what they load and complain about."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

AXE = files("axe_core_python") / "axe.min.js"

# What axe-core calls the faults that keep somebody from using a page.
GRAVE = {"serious", "critical"}

SCHEMES = {"light", "dark"}


class Browser:
    """Hold a browser that shows one page at a time."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.command("Performance.enable", timeDomain="threadTicks")

    def open(self, path: Path, *, width: int = 1400, scheme: str = "light") -> None:
        """Open a file in a window of *width* pixels, in light or dark colours."""
        # The logs of the page before are taken out.
        self.complaints()
        self.requests()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.driver.get(path.as_uri())

    def seconds(self) -> float:
        """Return the seconds of a processor that the page has taken.

        Another process on a busy machine does not change them.
        """
        found = self.command("Performance.getMetrics")["metrics"]
        return float(next(n["value"] for n in found if n["name"] == "TaskDuration"))

    def command(self, name: str, **parameters: object) -> dict[str, Any]:
        """Execute a command of the DevTools protocol."""
        found: dict[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return found

    def run(self, script: str, *arguments: object) -> Any:
        """Return the result of a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def one(self, selector: str) -> WebElement:
        """Return the first element that a CSS selector finds."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that a CSS selector finds."""
        script = "return [...document.querySelectorAll(arguments[0])]"
        found: list[str] = self.run(
            f"{script}.map((each) => each.textContent.trim())", selector
        )
        return found

    def complaints(self) -> list[str]:
        """Return what the console has since the last call, such as refused styles."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the URLs that were asked for since the last call."""
        entries = (
            json.loads(entry["message"])["message"]
            for entry in self.driver.get_log("performance")
        )
        return [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]

    def faults(self) -> list[str]:
        """Return the serious faults of accessibility that axe-core finds."""
        self.run(AXE.read_text())
        found = self.driver.execute_async_script("axe.run().then(arguments[0])")
        return [
            f"{fault['id']}: {node['html']}"
            for fault in found["violations"]
            if fault["impact"] in GRAVE
            for node in fault["nodes"]
        ]

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page, for the eyes of a developer."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return window.innerWidth")
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.driver.save_screenshot(str(path))


@contextmanager
def opened() -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it afterwards."""
    program, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not chromedriver:
        pytest.fail("chromium is not installed; run: make hosts", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        options.add_argument(f"--user-data-dir={profile}")
        service = webdriver.ChromeService(chromedriver)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
