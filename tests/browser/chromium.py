"""A real browser, as a test uses it: Debian's Chromium, driven by Selenium."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.services import node_folder, unavailable

#: Of a phone, of a small window, and of a large screen, in CSS pixels.
WIDTHS = (360, 1024, 1920)
SCHEMES = ("light", "dark")
HEIGHT = 900
AXE = "axe-core@4.14.1"
#: WCAG 2.0 to 2.2, levels A and AA, and what else axe-core calls good.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_HOW = """needs {}. Ways to get it:
  - `make browser` installs what is missing, with apt-get, where it may
  - on Debian: apt-get install chromium chromium-driver
  - elsewhere: put `chromium` and `chromedriver`, of one version, on the PATH"""
#: Chromium asks nobody anything, and runs in a container as root too.
_ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    # One process for all pages: to start one takes longer than to show most of them.
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
    "--disable-features=SpareRendererForSitePerProcess,IsolateOrigins,site-per-process",
)


@dataclass(slots=True)
class Seen:
    """What the browser has met since it was last asked."""

    console: list[str] = field(default_factory=list)  #: warnings and errors
    addresses: list[str] = field(default_factory=list)  #: of all that was requested


class Browser:
    """One window of one Chromium. Addresses are paths at `url`."""

    def __init__(self, driver: Chrome, url: str = "") -> None:
        self.driver = driver
        self.url = url
        self._axe: str | None = None

    def at(self, url: str) -> "Browser":
        """The same window, for another server."""
        other = Browser(self.driver, url)
        other._axe = self._axe
        return other

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.url)

    def look(self, width: int = 1024, scheme: str = "light") -> None:
        """Shows the page as wide as this, in this scheme."""
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1}
        self.command("Emulation.setDeviceMetricsOverride", **size, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.command("Emulation.setEmulatedMedia", features=[feature, still])

    def command(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Chrome's own commands: https://chromedevtools.github.io/devtools-protocol"""
        return dict(self.driver.execute_cdp_cmd(name, parameters) or {})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns that runs in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        """The text that people see, with single spaces."""
        found = self.run(
            "return document.querySelector(arguments[0])?.innerText", selector
        )
        return " ".join(str(found or "").split())

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def sideways(self) -> list[str]:
        """What makes the page wider than its window; nothing if it isn't."""
        return list(self.run(_SIDEWAYS))

    def offences(self) -> list[str]:
        """Where the page breaks a rule of axe-core, as `rule: element: why`."""
        if self._axe is None:
            folder = node_folder(AXE) / "node_modules" / "axe-core"
            self._axe = (folder / "axe.min.js").read_text(encoding="utf-8")
        if not self.run("return typeof axe === 'object'"):
            # Not by a <script>, which the page's policy would refuse.
            self.command("Runtime.evaluate", expression=self._axe)
        found = self.driver.execute_async_script(_RUN_AXE, list(RULES))
        return [str(each) for each in found]

    def seen(self) -> Seen:
        """What has happened since the last call."""
        seen = Seen()
        for entry in self.driver.get_log("browser"):
            if entry["level"] in ("WARNING", "SEVERE"):
                seen.console.append(entry["message"])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                seen.addresses.append(message["params"]["request"]["url"])
        return seen


#: The elements that reach beyond the window and are in nothing that scrolls.
_SIDEWAYS = """
const root = document.documentElement;
if (root.scrollWidth <= root.clientWidth) return [];
const wide = [...document.querySelectorAll("body *")].filter(
  (each) => each.getBoundingClientRect().right > root.clientWidth + 0.5);
return [`${root.scrollWidth} of ${root.clientWidth} pixels`, ...wide.slice(-5).map(
  (each) => `${each.tagName} ${each.className?.baseVal ?? each.className}`)];
"""
_RUN_AXE = """
const [rules, done] = arguments;
axe.run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]})
  .then(({violations}) => done(violations.flatMap(({id, nodes}) => nodes.map(
    ({target, failureSummary}) =>
      `${id}: ${target.join(" ")}: ${failureSummary.replace(/\\s+/g, " ")}`))))
  .catch((error) => done([`axe-core failed: ${error}`]));
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """
    A Chromium with a profile of its own. Where there is none, the test is skipped and
    says how to get it; with `CI` set it fails.
    """
    if why := missing():
        unavailable(why)
    program, driver = _programs()
    options = ChromeOptions()
    options.binary_location = program
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        if sys.platform == "linux" and os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        # Selenium would look for a driver on the network otherwise.
        service = ChromeService(executable_path=driver)
        with contextlib.closing(_Quitting(Chrome(options, service))) as one:
            one.driver.set_page_load_timeout(30)
            one.driver.set_script_timeout(30)
            browser = Browser(one.driver)
            browser.seen()  # its own first page
            yield browser


@dataclass(frozen=True, slots=True)
class _Quitting:
    driver: Chrome

    def close(self) -> None:
        self.driver.quit()


def missing() -> str:
    """What this machine lacks, and how to get it; empty if it lacks nothing."""
    program, driver = _programs()
    if program and driver:
        return ""
    return _HOW.format("chromedriver" if program else "chromium")


def _programs() -> tuple[str, str]:
    """The paths of Chromium and of its driver; empty where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = (shutil.which(name) for name in names)
    return next(filter(None, found), ""), shutil.which("chromedriver") or ""


def picture(browser: Browser, file: Path) -> None:
    """Takes a picture of what the window shows."""
    file.write_bytes(browser.driver.get_screenshot_as_png())
