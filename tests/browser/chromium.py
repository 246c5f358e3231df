"""Debian's Chromium without a window, driven in the words of the person in front of it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
TIMEOUT = 20
#: Width and height, in CSS pixels.
DESKTOP, PHONE = (1280, 860), (390, 844)
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--lang=en",
)
PRESSED = "a[href], button, input[type=submit], summary"
FILLED = "input:not([type=hidden]):not([type=submit]), select, textarea"
# Whoever tabs there has to see where they are.
FOCUS_SHOWN = """
const style = getComputedStyle(arguments[0]);
return arguments[0].matches(":focus-visible") &&
  ((style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) ||
    style.boxShadow !== "none");
"""
# Links that Django's own admin tells from the text around them by a little colour alone.
RUN_AXE = """
const done = arguments[arguments.length - 1];
const djangos = (rule, element) =>
  rule === "link-in-text-block" && element.closest(".breadcrumbs, #changelist-search");
Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => null)))
  .then(() => axe.run(document, { resultTypes: ["violations"], elementRef: true }))
  .then(({ violations }) => done(violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ impact, id, nodes }) => nodes
      .filter(({ element }) => !djangos(id, element))
      .map(({ target, html, failureSummary }) =>
        `${impact}: ${id} at ${target}: ${html.slice(0, 200)} (${failureSummary})`))))
  .catch((error) => done(String(error)));
"""


class Browser:
    """One Chromium, in which one person at a time is signed in."""

    def __init__(self) -> None:
        programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
        if missing := [name for name, path in programs.items() if path is None]:
            pytest.fail(
                f"The tests in a browser need {' and '.join(missing)}. "
                "On Debian and Ubuntu: apt install chromium chromium-driver"
            )
        options = ChromeOptions()
        options.binary_location = str(programs["chromium"])
        for argument in ARGUMENTS:
            options.add_argument(argument)
        self.driver = Chrome(options, ChromeService(str(programs["chromedriver"])))
        self.begin()

    def quit(self) -> None:
        self.driver.quit()

    def begin(self) -> None:
        """As if just installed: no cookies, a desktop's window, in light."""
        self.driver.get("about:blank")
        self._send("Network.clearBrowserCookies")
        self.resize(DESKTOP)
        self.light()

    def set_cookie(self, url: str, name: str, value: str) -> None:
        self._send("Network.setCookie", url=url, name=name, value=value, httpOnly=True)

    # The window

    def resize(self, size: tuple[int, int]) -> None:
        width, height = size
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )

    def light(self) -> None:
        self._colours("light")

    def dark(self) -> None:
        self._colours("dark")

    def _colours(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._send("Emulation.setEmulatedMedia", features=[feature])

    def save_picture(self, path: Path) -> None:
        """What the window shows, as a PNG."""
        shot = self._send("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _send(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    # Going somewhere

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def open(self, url: str) -> None:
        self.driver.get(url)

    def press(self, name: str, *, within: str = "body") -> None:
        """Click the link or button of this name, and wait for the page that it leads to."""
        element = self.find(name, PRESSED, within=within)
        with self.page_change():
            element.click()

    def sign_in(self, username: str, password: str, button: str = "Sign in") -> None:
        """Fill in the login form."""
        self.fill("User name", username)
        self.fill("Password", password)
        self.press(button, within="form")

    @contextmanager
    def page_change(self) -> Iterator[None]:
        """What is done leads to another page; go on once that is loaded."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        yield
        self.until(f"another page than {self.url}", lambda: _gone(before))
        self.until("a loaded page", lambda: self.run("return document.readyState") == "complete")

    # Looking

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def heading(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "h1").text

    def offers(self, name: str, *, within: str = "body") -> bool:
        """Whether there is a link or button of this name."""
        return any(_is_called(name, element) for element in self._seen(PRESSED, within))

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, name: str, selector: str = PRESSED, *, within: str = "body") -> WebElement:
        """The first visible element that a screen reader calls ``name``."""
        seen = self._seen(selector, within)
        for element in seen:
            if _is_called(name, element):
                return element
        names = ", ".join(repr(_name(element)) for element in seen)
        raise NoSuchElementException(f"no {name!r} at {self.url}, only {names}\n{self.text}")

    def fill(self, label: str, value: str) -> None:
        element = self.find(label, FILLED)
        if element.tag_name == "input":
            element.clear()
        element.send_keys(value)

    def tick(self, label: str) -> None:
        self.find(label, "input[type=checkbox]").click()

    def choose(self, label: str, option: str) -> None:
        """Take ``option`` of a select."""
        for candidate in self.find(label, "select").find_elements(By.TAG_NAME, "option"):
            if candidate.text == option:
                candidate.click()
                return
        raise NoSuchElementException(f"{label!r} has no option {option!r}")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Wait for ``condition``; elements that go away while it looks count as "not yet"."""
        waiting = WebDriverWait(
            self.driver, TIMEOUT, 0.05, [NoSuchElementException, StaleElementReferenceException]
        )
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            message = f"no {what} within {TIMEOUT} s at {self.url}:\n{self.text[:1000]}"
            raise AssertionError(message) from None

    def _seen(self, selector: str, within: str) -> list[WebElement]:
        inside = ", ".join(f"{within} {part.strip()}" for part in selector.split(","))
        return [element for element in self.all(inside) if element.is_displayed()]

    # Without a mouse

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def tab_to(self, name: str, most: int = 60) -> WebElement:
        """Tab on until ``name`` has the focus, which has to be seen at every stop."""
        stops = []
        for _ in range(most):
            self.keys(Keys.TAB)
            element = self.focused
            if element.tag_name == "body":
                continue  # past the end of the page
            stops.append(_name(element))
            assert self.run(FOCUS_SHOWN, element), f"{stops[-1]!r} has an invisible focus"
            if _is_called(name, element):
                return element
        raise NoSuchElementException(f"tabbing at {self.url} meets {stops}, not {name!r}")

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    # Judging

    @property
    def overflow(self) -> list[str]:
        """What sticks out at the right, so that the page has to be scrolled sideways."""
        return self.run(
            """
            const page = document.documentElement, width = page.clientWidth;
            if (Math.max(page.scrollWidth, document.body.scrollWidth) <= width) return [];
            return [...document.body.querySelectorAll("*")]
              .filter((element) => element.getBoundingClientRect().right > width + 0.5)
              .map((element) => `${element.tagName.toLowerCase()}.${element.className} ` +
                Math.round(element.getBoundingClientRect().right));
            """
        )

    @property
    def cut(self) -> list[str]:
        """What has to be scrolled sideways within the page, but for code."""
        return self.run(
            """
            return [...document.body.querySelectorAll("*:not(pre)")]
              .filter((element) => element.scrollWidth > element.clientWidth + 1 &&
                ["auto", "scroll"].includes(getComputedStyle(element).overflowX))
              .map((element) => `${element.tagName.toLowerCase()}.${element.className} ` +
                `${element.scrollWidth} in ${element.clientWidth}`);
            """
        )

    def axe(self) -> list[str]:
        """What axe-core finds serious or critical: impact, rule, and the elements at fault."""
        if not self.run("return typeof axe === 'object'"):
            self._send("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(RUN_AXE)
        assert isinstance(found, list), f"axe-core: {found}"
        return found


def _name(element: WebElement) -> str:
    return str(element.accessible_name).strip()


def _is_called(name: str, element: WebElement) -> bool:
    # Chromium tells it as CSS shows it, and Django's admin shows some in capitals.
    return _name(element).casefold() == name.casefold()


def _gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except (StaleElementReferenceException, WebDriverException):
        return True
    return False
