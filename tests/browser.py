"""A headless Chromium from the programs installed on this machine, such as Debian's chromium and chromium-driver."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-lcd-text",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
#: Seconds to wait for a page.
PATIENCE = 30

#: The boxes that stick out of the window, but for those of what scrolls by itself.
STICKING_OUT = """
return [...document.body.querySelectorAll('*')]
    .filter(element => !element.closest('pre, .unseen, .skip'))
    .filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(element => element.outerHTML.slice(0, 100));
"""

#: The texts that stand out too little: less than 4.5 to 1, as WCAG 2.2 asks for (1.4.3).
PALE = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function paint(colours) {
    canvas.fillStyle = '#fff';
    canvas.fillRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
function luminance(colours) {
    const [r, g, b] = paint(colours).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
}
function grounds(element) {
    return element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : [];
}
return [...document.body.querySelectorAll('*')]
    .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(element => element.checkVisibility() && getComputedStyle(element).color !== 'rgba(0, 0, 0, 0)')
    .map(element => {
        const behind = grounds(element);
        const pair = [luminance(behind), luminance([...behind, getComputedStyle(element).color])].sort((a, b) => a - b);
        return [(pair[1] + .05) / (pair[0] + .05), element.outerHTML.slice(0, 100)];
    })
    .filter(([ratio]) => ratio < 4.5);
"""


class NoBrowser(Exception):
    """There is no browser to be had, for the reason given."""


class Browser:
    """A window of a browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        driver.implicitly_wait(PATIENCE)

    def open(self, address: str) -> None:
        self.driver.get(address)

    def find(self, selector: str) -> WebElement:
        """The first element of a CSS selector; waits for it."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """All elements of a CSS selector; waits for the first."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find_text(self, words: str, of: str = "*") -> WebElement:
        """The innermost element of a kind with these words; waits for it."""
        return self.driver.find_element(By.XPATH, f"//body//{of}[contains(normalize-space(), '{words}')]")

    @property
    def words(self) -> str:
        """All that is to be read."""
        return " ".join(self.find("body").text.split())

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def press(self, *keys: str) -> None:
        """Press keys where the focus is, one after the other."""
        for key in keys:
            self.focused.send_keys(key)

    def show(self, *, width: int = 1100, scheme: str = "light") -> None:
        """Be as wide as that, in CSS pixels; a phone below 500."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def looks_bad(self) -> list[str]:
        """What is wrong with the looks of the page: boxes that stick out, and pale texts."""
        wide = self.driver.execute_script("return document.documentElement.scrollWidth > innerWidth")
        return [
            *(["the page scrolls sideways"] if wide else []),
            *(f"sticks out: {html}" for html in self.driver.execute_script(STICKING_OUT)),
            *(f"pale, {ratio:.1f}: {html}" for ratio, html in self.driver.execute_script(PALE)),
        ]

    @property
    def complaints(self) -> list[str]:
        """What the browser's console says, but for the statuses of responses."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "the server responded with a status of" not in message]


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own. Raises `NoBrowser`."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        raise NoBrowser("no headless Chromium: chromium and chromedriver are needed (Debian: chromium-driver)")
    os.environ["SE_OFFLINE"] = "true"  # never download a browser
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(found)
    finally:
        found.quit()
