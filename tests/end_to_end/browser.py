"""A person at the page, in a real browser; and the program that serves it, as `make run` starts it without a token."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
DRIVER = shutil.which("chromedriver") or ""
# A headless browser has no mouse, and would show the page as on a phone.
_MOUSE = "blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
_FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking", _MOUSE)
_MESSAGES = """
return [...document.querySelectorAll('#messages > .message')].map(one => {
  const pictures = [...one.querySelectorAll('.media img')];
  return {
    id: one.dataset.key, text: one.innerText, ephemeral: one.classList.contains('ephemeral'),
    waiting: one.classList.contains('waiting'),
    buttons: [...one.querySelectorAll('button.button')].map(button => button.innerText.trim()),
    pictures: pictures.filter(p => p.complete && p.naturalWidth > 0).map(p => p.src), alts: pictures.map(p => p.alt),
    film: one.querySelector('video') !== null, reactions: [...one.querySelectorAll('.reaction')].map(r => r.innerText),
  };
});
"""


def free_port() -> int:
    """Find a port that a program can have, and have again when it is started anew."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Shown:
    """A message as it stands on the page."""

    id: str
    text: str
    ephemeral: bool
    waiting: bool
    buttons: list[str]
    pictures: list[str]
    """Addresses of pictures that are really there."""
    alts: list[str]
    film: bool
    reactions: list[str]


class Program:
    """`python -m bot run` in a data folder; it can be killed and started again."""

    def __init__(self, folder: Path, settings: Mapping[str, object] = {}) -> None:
        self.folder = folder
        self.log = folder / "bot.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DISCORD_TOKEN", "DISPLAY"))}
        own = {"storage__folder": folder / "data", "health__enabled": "false", **settings}
        self._environment = (
            clean | {"OMP_NUM_THREADS": "1"} | {f"PAINTER__{name.upper()}": str(value) for name, value in own.items()}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self, seconds: float = 120.0) -> str:
        """Start it and return the page's address, which it prints."""
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot", "run"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        end = time.monotonic() + seconds
        while (found := re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/\n", self.log.read_text()[said:])) is None:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
        self.address = found[0].strip()
        return self.address

    def kill(self) -> None:
        """End it without warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)


@contextmanager
def browser(profile: Path, size: tuple[int, int] = (1280, 1000)) -> Iterator[Any]:
    """Open a browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, "no-first-run", f"window-size={size[0]},{size[1]}", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Person:
    """Somebody in one tab: sees what is on it, and acts by keys and clicks."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver = driver
        self._tab = driver.current_window_handle
        self._folder = folder
        self.missed = 0
        """How many clicks met something else."""

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.until(lambda: self.find("#who").text != "", "the page says who one is")
        self.until(lambda: not self.find("#status").is_displayed(), "the bot is connected", 60)

    def here(self) -> "Person":
        """Turn to this person's tab."""
        self.driver.switch_to.window(self._tab)
        return self

    # Seeing

    def find(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def messages(self) -> list[Shown]:
        return [Shown(**message) for message in self.driver.execute_script(_MESSAGES)]

    def message(self, message_id: str) -> Shown | None:
        return next((message for message in self.messages() if message.id == message_id), None)

    def last_id(self) -> int:
        """Return the newest message's id: what comes later has a larger one."""
        return max((int(message.id) for message in self.messages() if not message.waiting), default=0)

    def comes(self, words: str, after: int = 0, seconds: float = 30.0) -> Shown:
        """Wait for a message with these words that is newer than `after`."""
        return self.until(lambda: self.there(words, after), f"a message with “{words}”", seconds)

    def there(self, words: str, after: int = 0) -> Shown | None:
        found = (m for m in reversed(self.messages()) if not m.waiting and int(m.id) > after and words in m.text)
        return next(found, None)

    def shows(self, message_id: str, words: str, seconds: float = 60.0) -> Shown:
        """Wait until a message says something."""

        def now() -> Shown | None:
            shown = self.message(message_id)
            return shown if shown is not None and words in shown.text else None

        return self.until(now, f"message {message_id} says “{words}”", seconds)

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                if value := condition():
                    return value
                problem: Exception | None = None
            except WebDriverException as error:
                problem = error
            if time.monotonic() > end:
                self.photograph("waited in vain")
                raise AssertionError(f"not within {seconds:g} s: {what}") from problem
            time.sleep(0.05)

    def photograph(self, name: str) -> None:
        """Take a picture of the tab, once the pictures on it can be seen."""
        decoded = "Promise.allSettled([...document.images].map(one => one.decode())).then(arguments[0])"
        with suppress(WebDriverException):  # a page that is broken is photographed as it is
            self.driver.execute_async_script(decoded)
        self.driver.save_screenshot(str(self._folder / f"{name}.png"))

    # Acting

    @property
    def composer(self) -> Any:
        return self.find("#composer-input")

    def type(self, *keys: str) -> None:
        self.composer.send_keys(*keys)

    def say(self, line: str) -> int:
        """Type a line and send it; return the id that what comes of it will exceed."""
        before = self.last_id()
        self.type(line, Keys.ENTER)
        return before

    def attach(self, path: Path) -> None:
        self.find("#composer-file").send_keys(str(path))
        self.until(lambda: path.name in self.find("#composer-above").text, "the file is listed")

    def press(self, message_id: str, label: str) -> int:
        """Press a message's button."""
        before = self.last_id()
        self._click(f"#message-{message_id} button.button", label)
        return before

    def menu(self, message_id: str, entry: str) -> None:
        """Open a message's menu with the right button, and choose."""
        place = self.find(f"#message-{message_id} .body")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
        ActionChains(self.driver).context_click(place.find_element(By.CSS_SELECTOR, ".text")).perform()
        self.choose(entry)

    def choose(self, entry: str) -> None:
        """Choose from the menu that is open."""
        entries = self.until(lambda: self.all("#menu:popover-open button"), "a menu")
        next(one for one in entries if entry in one.text).click()

    def react(self, message_id: str, word: str) -> None:
        """Find an emoji by a word in the picker, and react with it."""
        message = self.find(f"#message-{message_id}")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", message)
        ActionChains(self.driver).move_to_element(message).perform()
        message.find_element(By.CSS_SELECTOR, "[aria-label='Add a reaction']").click()
        self.until(lambda: self.find("#menu input"), "the picker").send_keys(word, Keys.ENTER)

    def click_reaction(self, message_id: str, emoji: str) -> None:
        self._click(f"#message-{message_id} .reaction", emoji)

    def fill(self, **fields: str) -> None:
        """Fill in fields of the form that is open, by custom_id (a choice by its value), and send it."""
        self.until(lambda: self.find("#form[open]"), "a form")
        for name, value in fields.items():
            field = self.find(f"#field-{name}")
            if field.tag_name in ("div", "select"):
                field.find_element(By.CSS_SELECTOR, f"[value='{value}']").click()
                continue
            if field.get_attribute("type") != "file":
                field.clear()
            field.send_keys(value)
        self.find("#form .primary").click()
        self.until(lambda: not self.all("#form[open]"), "the form closes")

    def be(self, name: str) -> None:
        """Switch who one is."""
        self.find("#who").click()
        self.choose(f"Be {name}")
        self.until(lambda: name in self.find("#who").text, f"one is {name}")
        self.until(lambda: self.all("#messages > *"), "the channel is read")

    def go(self, channel: str) -> None:
        """Open a channel by its name."""
        entries = self.all("#sidebar nav button")
        next(one for one in entries if channel in one.text).click()
        self.until(lambda: channel in self.find("#channel-title").text, f"{channel} is open")

    def _click(self, css: str, words: str) -> None:
        """Click what shows `words`; once more where it moved away meanwhile, as previews make messages grow."""

        def click() -> bool:
            wanted = next((one for one in self.all(css) if words in one.text), None)
            assert wanted is not None, f"there is no “{words}” to click"
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", wanted)
            try:
                wanted.click()
            except ElementClickInterceptedException:
                self.missed += 1
                return False
            return True

        self.until(click, f"a click on “{words}”")
