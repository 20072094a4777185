"""A person at the page, in a real browser, while something is being painted all the time."""

import re
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("selenium", reason="selenium is not installed")

from tests.end_to_end.browser import CHROMIUM, DRIVER, Person, Program, browser, free_port

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver are installed"),
    pytest.mark.timeout(400),
]
SETTINGS = {
    "models__size": "64x64",
    "models__preset": "draft",
    "worker__checkpoint_seconds": 1,
    "discord__preview_seconds": 1,
    "limits__most_steps": 10000,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    program = Program(tmp_path_factory.mktemp("program"), SETTINGS | {"local__port": free_port()})
    program.start()
    yield program
    assert program.stop() == 0, program.log.read_text()
    assert "Traceback" not in program.log.read_text()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
        complaints = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        # What the kill cuts is told by the browser as well.
        assert not [one for one in complaints if "ERR_CONNECTION" not in one and "WebSocket" not in one], complaints


@pytest.fixture
def you(program: Program, driver, tmp_path) -> Person:
    you = Person(driver, tmp_path)
    you.open(program.address)
    return you


def test_nothing_is_lost_while_something_is_painted(you: Person, tmp_path: Path) -> None:
    before = you.say("/imagine a red apple steps:3000 size:64x64")
    long = you.comes("a red apple", before)
    assert "you\nused\n/imagine" in re.sub(r"^Y\n", "", long.text)
    you.until(lambda: (you.message(long.id) or long).pictures, "a preview", 90)

    before = you.say("/que")  # Enter takes the only one that it can be
    you.until(lambda: you.composer.get_attribute("value") == "/queue ", "the name is completed")
    you.say("")
    assert you.comes("being painted", before).ephemeral

    you.say("/imagine")
    you.say("a green leaf steps:99999")
    you.until(lambda: "from 1 to 10000" in you.find("#composer-above").text, "a number that is too large is refused")
    you.composer.clear()

    you.press(long.id, "Steer")
    you.fill(prompt="a blue flower")
    you.comes("follows your new words")

    you.react(long.id, "heart")
    you.until(lambda: "❤️ 1" in (you.message(long.id) or long).reactions, "the reaction")
    you.click_reaction(long.id, "❤️")
    you.until(lambda: not (you.message(long.id) or long).reactions, "the reaction is taken away")

    before = you.say("imagine a cat")
    you.until(lambda: "Commands begin with a slash" in you.find("#composer-above").text, "a hint")
    you.composer.clear()
    before = you.say("**nothing** of <img src=x onerror=alert(1)> is HTML")
    said = you.comes("nothing of <img", before)
    assert not said.pictures

    you.be("a friend")
    before = you.press(long.id, "Stop")
    assert you.comes("", before).ephemeral  # somebody else's painting is not theirs to stop
    assert you.there("follows your new words") is None
    you.say("/admin pause")
    you.until(lambda: "There is no command" in you.find("#composer-above").text, "not theirs to see")
    you.composer.clear()
    you.be("you")

    before = you.press(long.id, "Stop")
    stopped = you.shows(long.id, "Stopped at step")
    assert stopped.alts == ["a blue flower"]
    you.until(lambda: (you.message(long.id) or long).pictures, "the picture so far")

    before = you.press(long.id, "Timelapse")
    film = you.comes("film of", before)
    you.until(lambda: (you.message(film.id) or film).film, "the film", 60)
    plays = (
        "const film = document.querySelector('video'); film.muted = true; film.play(); return film.currentTime > 0.05"
    )
    you.until(lambda: you.driver.execute_script(plays), "it plays")

    Image.new("RGB", (96, 64), "green").save(tmp_path / "meadow.png")
    you.attach(tmp_path / "meadow.png")
    before = you.say("/edit a red apple on a meadow steps:3")
    edit = you.comes("a red apple on a meadow", before)
    you.shows(edit.id, "Painted in")

    before = you.last_id()
    you.menu(edit.id, "Edit this picture")
    you.fill(prompt="a blue flower on a meadow", strength="0.5")
    again = you.comes("a blue flower on a meadow", before)
    you.press(again.id, "Stop")
    you.photograph("the channel")


def test_a_kill_is_survived_by_channel_painting_and_open_tab(program: Program, you: Person) -> None:
    before = you.say("/imagine a yellow star steps:3000")
    job = you.comes("a yellow star", before)
    you.until(lambda: (you.message(job.id) or job).pictures, "a preview", 90)
    count = len([message for message in you.messages() if not message.ephemeral])
    address = program.address

    program.kill()
    you.until(lambda: "connection is gone" in you.find("#status").text, "the tab says so")
    you.type("/cancel")  # what is written meanwhile stays, and is sent once somebody is there
    assert program.start() == address
    you.until(lambda: not you.find("#status").is_displayed(), "the tab comes back", 60)

    assert len([message for message in you.messages() if not message.ephemeral]) == count
    you.until(lambda: "step" in (you.message(job.id) or job).text, "the painting goes on", 60)
    you.say("")
    you.shows(job.id, "Stopped at step")
