"""A person at the local page, in a real browser: the whole bot as `make run` starts it without a token."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MODELS = [ROOT / "models" / f"embedded-{part}.safetensors" for part in ("generator", "perceptor", "prior")]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver are installed"),
    pytest.mark.skipif(not all(path.is_file() for path in MODELS), reason="models/ holds no embedded pair"),
    pytest.mark.timeout(600),
]

_PAINTED = 240.0
"""Seconds that a painting may take on a busy machine."""
_STATE = """
const message = [...document.querySelectorAll('article.channel-message')][arguments[0]];
if (!message) return ["", ""];
const picture = message.querySelector('img.gallery-image');
return [message.innerText, picture && picture.complete && picture.naturalWidth > 0 ? picture.src : ""];
"""


class Page:
    """What a person sees and does."""

    def __init__(self, driver: Any, url: str, folder: Path) -> None:
        self.driver = driver
        self.url = url
        self._folder = folder

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # a change after # alone is no new page
        self.driver.get(url)

    def photograph(self, name: str) -> None:
        self.driver.save_screenshot(str(self._folder / f"{name}.png"))

    def command(self, name: str) -> None:
        """Choose a command as a person does: type it, take the suggestion."""
        composer = self.until(lambda: self.driver.find_element(By.ID, "channel-composer-input"))
        self.until(composer.is_displayed)
        composer.click()
        composer.send_keys(f"/{name}")
        self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, ".command-popup:not([hidden])"))
        composer.send_keys(Keys.ENTER)
        self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, "[data-command-chip]"))

    def add_option(self, name: str) -> Any:
        """Choose an option that may be left out from the list that the command's chip opens."""
        self.driver.find_element(By.CSS_SELECTOR, "[data-command-chip]").click()
        self.until(
            lambda: self.driver.find_element(By.CSS_SELECTOR, f".command-suggestion[data-value='{name}']")
        ).click()
        return self.until(lambda: self.option(name))

    def option(self, name: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, f"input[data-option='{name}']")

    def message(self, number: int) -> tuple[str, str]:
        """Return a message's text and the address of its picture, once that is loaded."""
        text, picture = self.driver.execute_script(_STATE, number)
        return text, picture

    def click(self, number: int, css: str, text: str) -> bool:
        """Click what shows `text` in a message; raise what `until` forgives where it is not there now."""
        message = self.driver.find_elements(By.CSS_SELECTOR, "article.channel-message")[number]
        wanted = next(one for one in message.find_elements(By.CSS_SELECTOR, css) if text in one.text)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", wanted)
        wanted.click()
        return True

    def press(self, number: int, css: str, text: str) -> None:
        """Click what shows `text` in a message; again if the page was just being redrawn."""
        self.until(lambda: self.click(number, css, text))

    def painted(self, number: int) -> list[str]:
        """Wait for a message's final picture; return the addresses of all pictures it showed on the way."""
        seen: list[str] = []

        def done() -> bool:
            text, picture = self.message(number)
            assert "⚠️" not in text, text
            if picture and picture not in seen:
                seen.append(picture)
            return "Painted in" in text and bool(picture)

        self.until(done, _PAINTED)
        return seen

    def stopped(self, number: int) -> None:
        """Stop a painting once it shows something; again where the page took the click for one on an older preview."""
        self.until(lambda: self.message(number)[1], _PAINTED)

        def done() -> bool:
            text, picture = self.message(number)
            if "Stopped at step" in text:
                return bool(picture)
            self.click(number, ".component-button", "Stop")
            time.sleep(3)
            return False

        self.until(done, _PAINTED)

    def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
        end = time.perf_counter() + seconds
        while True:
            try:
                if value := condition():
                    return value
                problem: Exception | None = None
            except (WebDriverException, StopIteration, IndexError) as error:
                problem = error
            if time.perf_counter() > end:
                self.photograph("waited in vain")
                raise AssertionError(f"waited {seconds} s in vain") from problem
            time.sleep(0.1)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISCORD_TOKEN")}
    environment |= {"PAINTER__STORAGE__FOLDER": str(tmp_path / "data"), "PAINTER__DISCORD__PREVIEW_SECONDS": "1.5"}
    # Long enough to be watched and to be stopped, and no longer.
    environment |= {"PAINTER__MODELS__PRESET": "fine", "PAINTER__MODELS__SIZE": "128x128"}
    log = (tmp_path / "bot.log").open("w+")
    bot = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    driver = None
    try:
        url = _address(bot, tmp_path / "bot.log")
        driver = _browser(tmp_path / "profile")
        yield Page(driver, url, tmp_path)
    finally:
        if driver is not None:
            driver.quit()
        bot.send_signal(signal.SIGINT)
        status = bot.wait(30)
        log.close()
    assert status == 0, (tmp_path / "bot.log").read_text()


def _address(bot: subprocess.Popen, log: Path) -> str:
    end = time.perf_counter() + 90
    while (found := re.search(r"http://127\.0\.0\.1:\d+/#\S+", log.read_text())) is None:
        assert bot.poll() is None, log.read_text()
        assert time.perf_counter() < end, log.read_text()
        time.sleep(0.2)
    return found[0]


def _browser(profile: Path) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking")
    for flag in (*flags, "no-first-run", "window-size=1280,1000", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def test_a_person_paints_reruns_and_edits(page: Page, tmp_path: Path) -> None:
    page.open(page.url.split("#")[0])  # without the key there is nothing to see
    page.until(lambda: "Unavailable channel" in page.driver.find_element(By.TAG_NAME, "body").text)

    page.open(page.url)
    page.command("imagine")
    page.option("prompt").send_keys("a red apple", Keys.ENTER)
    pictures = page.painted(0)
    page.photograph("imagine")
    assert len(pictures) >= 3, "the picture did not change on the way"

    page.press(0, ".component-button", "Rerun")
    page.stopped(1)
    page.photograph("rerun")

    page.press(0, ".reaction-chip", "🔁")
    page.stopped(2)
    page.photograph("reaction")

    green = io.BytesIO()
    Image.new("RGB", (96, 64), "green").save(green, "PNG")
    (tmp_path / "meadow.png").write_bytes(green.getvalue())
    page.command("edit")
    page.option("image").send_keys(str(tmp_path / "meadow.png"))
    page.add_option("steps").send_keys("12")
    page.option("prompt").send_keys("a red apple on a meadow", Keys.ENTER)
    page.painted(3)
    page.photograph("edit")
    assert "strength 0.7" in page.message(3)[0]

    page.command("cancel")
    page.driver.find_element(By.ID, "send-message").click()
    page.until(lambda: "You have no painting under way." in page.message(4)[0])
    page.photograph("refusal")
    assert "uncertain" not in page.driver.find_element(By.TAG_NAME, "body").text  # to the page a refusal is an answer
