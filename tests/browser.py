# SPDX-License-Identifier: GPL-2.0-only
"""A real browser without a screen, driven through WebDriver."""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver


class Browser:
    """One page in Chromium, at a width that a phone may have too."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, path: Path, width: int = 1280, height: int = 900, media: str = "") -> None:
        """``media``: ``dark``, ``print`` or empty."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if media == "dark" else "light"}
        self._command(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        kind = "print" if media == "print" else "screen"
        self._command("Emulation.setEmulatedMedia", {"media": kind, "features": [scheme]})
        self._driver.get(path.as_uri())

    def ask(self, script: str) -> Any:
        """What a JavaScript function body returns."""
        return self._driver.execute_script(script)

    def complaints(self) -> list[str]:
        """What the console and the network said since the last call."""
        return [entry["message"] for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        taken = self._command(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(taken["data"]))

    def printed(self) -> bytes:
        """The page as a PDF."""
        taken = self._command("Page.printToPDF", {"printBackground": True, "paperWidth": 8.27,
                                                  "paperHeight": 11.69})  # fmt: skip
        return base64.b64decode(taken["data"])

    def _command(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return dict(self._driver.execute_cdp_cmd(name, parameters))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of its own, gone at the end, with a profile that nobody else uses."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", f"--user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium") or "chromium"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
