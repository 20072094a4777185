"""Photographs of the page, with the bot and the networks that ship: `python -m tests.end_to_end.screenshots FOLDER`.

Desktop and phone, dark and light, while something is painted, a form, an edit with an upload. `channel.png` is the one
that the README shows (docs/channel.png).
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from tests.end_to_end.browser import Person, Program, Shown, browser, free_port

SETTINGS = {"models__preset": "normal", "discord__preview_seconds": 1, "worker__first_preview_step": 4}
PHONE = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}


def paint(you: Person, line: str, words: str) -> Shown:
    """Ask for a picture and wait until it is there."""
    job = you.comes(words, you.say(line))
    you.shows(job.id, "Painted in", 240)
    return you.until(lambda: (shown := you.message(job.id)) and shown.pictures and shown, "the picture", 60)


def colours(you: Person, theme: str) -> None:
    """Choose dark or light."""
    you.until(lambda: _pressed(you, theme), f"{theme} colours")


def _pressed(you: Person, theme: str) -> bool:
    if you.driver.execute_script("return document.documentElement.dataset.theme") == theme:
        return True
    you.find("#theme").click()
    return False


def while_painting(you: Person) -> None:
    """Photograph the channel while a picture comes out of the noise."""
    job = you.comes("a lighthouse", you.say("/imagine a lighthouse at night steps:20"))
    you.until(lambda: (shown := you.message(job.id)) and shown.pictures and "step" in shown.text, "a preview", 120)
    you.photograph("channel")
    colours(you, "light")
    you.photograph("painting, light")
    colours(you, "dark")
    you.press(job.id, "Stop")
    you.shows(job.id, "Stopped at step", 60)


def edit_with_upload(you: Person, picture: Path) -> None:
    """Photograph the command before it is sent, and what comes of it."""
    you.attach(picture)
    you.type("/edit a green apple")
    you.photograph("edit, before it is sent")
    you.composer.clear()
    edited = you.comes("a green apple", you.say("/edit a green apple"))
    you.shows(edited.id, "Painted in", 240)
    you.until(lambda: (you.message(edited.id) or edited).pictures, "the picture", 60)
    you.photograph("edit")


def forms(you: Person, finished: Shown) -> None:
    """Photograph the two forms with the most fields."""
    for label in ("Remix", "Edit"):
        you.press(finished.id, label)
        you.until(lambda: you.find("#form[open]"), "the form")
        you.photograph(f"form {label}")
        you.find("#form .secondary").click()
        you.until(lambda: not you.all("#form[open]"), "it is closed")


def phone(you: Person) -> None:
    """Photograph the page as a phone shows it."""
    you.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    you.until(lambda: not you.find("#guild").is_displayed(), "the channels make room")
    you.photograph("phone")
    you.find("#show-sidebar").click()
    you.until(lambda: you.find("#guild").is_displayed(), "the channels")
    you.until(lambda: you.find("#who").is_displayed(), "who one is")
    you.photograph("phone, channels")
    you.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def main() -> None:
    """Start the program and a browser, and take all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="screenshots-"))
    program = Program(own, SETTINGS | {"local__port": free_port()})
    try:
        address = program.start()
        with browser(own / "profile", (1280, 960)) as driver:
            you = Person(driver, folder)
            you.open(address)
            colours(you, "dark")
            apple = paint(you, "/imagine a red apple on a blue background seed:1", "a red apple")
            while_painting(you)
            uploaded = own / "apple.png"
            Image.new("RGB", (128, 128), "#cc2222").save(uploaded)
            picture = next((own / "data").glob("**/pictures/*.png"), uploaded)
            shutil.copy(picture, uploaded)
            edit_with_upload(you, uploaded)
            forms(you, apple)
            you.say("/queue")
            you.comes("The queue")
            you.photograph("desktop, dark")
            colours(you, "light")
            you.photograph("desktop, light")
            you.type("/")
            you.until(lambda: you.all("#suggestions [role=option]"), "the commands")
            you.photograph("commands")
            you.composer.clear()
            colours(you, "dark")
            phone(you)
    finally:
        program.stop()


if __name__ == "__main__":
    main()
