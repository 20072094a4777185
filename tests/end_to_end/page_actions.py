"""What a person does at the page, each with what it is to bring about, and how often."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selenium.webdriver.common.keys import Keys

from tests.end_to_end.browser import Person, Shown

THINGS = ("a red apple", "a yellow star", "a green leaf", "a blue flower", "a house", "a cat at night", "a rocket")


_NO_PAINTING = ("Remix", "Edit", "Timelapse", "2 × 2", "Delete")
"""Buttons of a finished picture that open a form, or show or delete what is there."""


REACTIONS_APART = 12.0
"""Seconds: the bot takes six of its own reactions a minute from one person, and leaves the rest alone."""


@dataclass
class Session:
    """One person's visit to the page."""

    person: Person
    other_tab: Person
    rng: random.Random
    picture: Path
    reacted_at: float = 0.0
    notes: list[str] = field(default_factory=list)

    def thing(self) -> str:
        return self.rng.choice(THINGS)

    def running(self) -> Shown | None:
        return self.newest(lambda message: any("Steer" in label for label in message.buttons))

    def waiting(self) -> int:
        return sum(any("Stop" in label for label in message.buttons) for message in self.person.messages())

    def finished(self) -> Shown | None:
        return self.newest(lambda message: any("Vary" in label for label in message.buttons))

    def newest(self, fits: Callable[[Shown], bool]) -> Shown | None:
        return next((message for message in reversed(self.person.messages()) if fits(message)), None)

    def ask(self, line: str, words: str) -> Shown:
        return self.person.comes(words, self.person.say(line))

    def answered(self, line: str, words: str) -> None:
        """Run a command whose answer only this person sees."""
        assert self.ask(line, words).ephemeral


def imagine(at: Session) -> None:
    thing = at.thing()
    at.ask(f"/imagine {thing} steps:{at.rng.randint(10, 60)} size:64x64", thing)


def imagine_by_keys(at: Session) -> None:
    thing, before = at.thing(), at.person.last_id()
    at.person.type("/im", Keys.TAB)
    at.person.type(thing, " ste", Keys.TAB)
    at.person.until(lambda: at.person.composer.get_attribute("value").endswith("steps:"), "the option is added")
    at.person.type("40", Keys.ENTER)
    at.person.comes(thing, before)


def imagine_by_clicks(at: Session) -> None:
    thing, before = at.thing(), at.person.last_id()
    at.person.type("/")
    at.person.until(lambda: _entry(at, "/imagine"), "the commands").click()
    at.person.type(thing, " ")
    at.person.until(lambda: _entry(at, "preset:"), "the options").click()
    at.person.until(lambda: _entry(at, "draft"), "the choices").click()
    at.person.find("#composer-send").click()
    at.person.comes(thing, before)


def _entry(at: Session, words: str) -> object:
    return next((one for one in at.person.all("#suggestions [role=option]") if one.text.startswith(words)), None)


def look_up(at: Session) -> None:
    line, words = at.rng.choice(
        [
            ("/queue", "The queue"),
            ("/help", "Pictures from words"),
            ("/info", "This bot"),
            ("/models", "Models and presets"),
            ("/history", "Your pictures"),
            ("/settings", "Your settings"),
            ("/quota", "Your limits"),
            ("/privacy", "Kept of you"),
            ("/admin show", "This server"),
        ]
    )
    at.answered(line, words)


def change_settings(at: Session) -> None:
    at.answered("/settings suffix:oil on canvas", "oil on canvas")
    at.answered("/settings reset:True", "Your settings")


def manage(at: Session) -> None:
    at.answered("/admin pause", "paused")
    at.answered("/admin resume", "painting")
    at.answered("/admin block word word:turnip", "This server")
    at.answered("/admin block word turnip lift:True", "This server")


def press_finished(at: Session) -> None:
    if (message := at.finished()) is None:
        return imagine(at)
    label = at.rng.choice([label for label in message.buttons if not any(other in label for other in _NO_PAINTING)])
    at.person.comes("", at.person.press(message.id, label))
    return None


def remix(at: Session) -> None:
    if (message := at.finished()) is None:
        return imagine(at)
    thing = at.thing()
    before = at.person.press(message.id, "Remix")
    at.person.fill(prompt=thing, preset="draft", seed="7")
    at.person.comes(thing, before)
    return None


def edit_by_button(at: Session) -> None:
    """Edit a finished picture, with another one uploaded in the form."""
    if (message := at.finished()) is None:
        return imagine(at)
    before = at.person.press(message.id, "Edit")
    at.person.fill(prompt="a house at night", strength="0.3", towards=str(at.picture))
    at.person.comes("a house at night", before)
    return None


def show(at: Session) -> None:
    """Post a picture again, found by what autocomplete suggests."""
    if at.finished() is None:
        return imagine(at)
    before = at.person.last_id()
    at.person.type("/show job:")
    at.person.until(lambda: _entry(at, ""), "suggestions").click()
    at.person.type(Keys.ENTER)
    at.person.comes("", before)
    return None


def forward(at: Session) -> None:
    if (message := at.finished()) is None:
        return imagine(at)
    before = at.person.last_id()
    at.person.menu(message.id, "Forward")
    at.person.choose("#sketches")
    at.person.go("sketches")
    at.person.comes("Forwarded", before)
    at.person.go("paintings")
    at.person.until(lambda: len(at.person.messages()) > 3, "the channel is read again")
    return None


def thread(at: Session) -> None:
    """Talk and paint in a thread."""
    name, thing = f"thread {at.rng.randint(0, 10**6)}", at.thing()
    said = at.ask(name, name)
    at.person.menu(said.id, "Start a thread")
    at.person.fill(name=name)
    at.person.until(lambda: at.person.find("#channel-topic").text == "A thread in #paintings", "the thread is open")
    at.ask(f"/imagine {thing} steps:5", thing)
    at.person.go("paintings")
    at.person.until(lambda: len(at.person.messages()) > 3, "the channel is read again")


def film(at: Session) -> None:
    if (message := at.finished()) is None:
        return imagine(at)
    shown = at.person.comes("", at.person.press(message.id, "Timelapse"))
    at.notes.append(f"film {shown.id}")
    return None


def steer(at: Session) -> None:
    if (message := at.running()) is None:
        return imagine(at)
    if (before := _press_unless_ended(at, message, "Steer")) is None:
        return None
    ended = lambda: at.person.there("can be steered", before)  # noqa: E731
    at.person.until(lambda: at.person.all("#form[open]") or ended(), "the form, or that it is too late for it")
    if ended():
        return None
    at.person.fill(prompt=at.thing())
    assert at.person.comes("", before).ephemeral
    return None


def stop(at: Session) -> None:
    """Stop what is painted, or call off what waits."""
    message = at.newest(lambda one: any("Stop" in label for label in one.buttons))
    if message is None:
        return imagine(at)
    _press_unless_ended(at, message, "Stop")
    at.person.until(lambda: "Stop" not in " ".join(_now(at, message).buttons), "it stops")
    return None


def _press_unless_ended(at: Session, message: Shown, label: str) -> int | None:
    """Press a running painting's button; None where the painting ended, and the button with it, in the same moment."""
    try:
        return at.person.press(message.id, label)
    except AssertionError:
        if any(label in one for one in _now(at, message).buttons):
            raise
        return None


def _now(at: Session, message: Shown) -> Shown:
    return at.person.message(message.id) or message


def react(at: Session) -> None:
    message = at.newest(lambda one: not one.ephemeral and not one.waiting)
    assert message is not None
    at.person.react(message.id, "heart")
    at.person.until(lambda: "❤️ 1" in _now(at, message).reactions, "the reaction")
    at.person.click_reaction(message.id, "❤️")
    at.person.until(lambda: "❤️ 1" not in _now(at, message).reactions, "the reaction is taken away")


def rerun_by_reaction(at: Session) -> None:
    message = at.finished()
    if message is None or time.monotonic() - at.reacted_at < REACTIONS_APART:
        return look_up(at)
    at.reacted_at = time.monotonic()
    before = at.person.last_id()
    chip = next((one for one in message.reactions if "🎲" in one), None)
    if chip is None:
        at.person.react(message.id, "dice")
    elif chip.endswith("1"):
        at.person.click_reaction(message.id, "🎲")
    else:
        return look_up(at)
    at.person.comes("varied from", before)
    return None


def edit_upload(at: Session) -> None:
    before = at.person.last_id()
    at.person.attach(at.picture)
    at.person.say("/edit a house in winter steps:10")
    at.person.comes("a house in winter", before)


def edit_by_menu(at: Session) -> None:
    message = at.finished()
    if message is None:
        return edit_upload(at)
    before = at.person.last_id()
    at.person.menu(message.id, "Edit this picture")
    at.person.fill(prompt="a house in spring", strength="0.5")
    at.person.comes("a house in spring", before)
    return None


def talk(at: Session) -> None:
    words = f"what about {at.thing()}? {at.rng.random():.6f}"
    at.ask(words, words)
    at.person.say("/imagin a cat")
    at.person.until(lambda: "Did you mean" in at.person.find("#composer-above").text, "a hint")
    at.person.composer.clear()
    at.person.type(" ", Keys.BACKSPACE)


def be_a_friend(at: Session) -> None:
    at.person.be("a friend")
    at.answered("/queue", "The queue")
    try:
        message = at.running()
        if message is not None and (before := _press_unless_ended(at, message, "Stop")) is not None:
            ended = lambda: not any("Stop" in label for label in _now(at, message).buttons)  # noqa: E731
            at.person.until(lambda: at.person.there("", before) or ended(), "an answer, or the painting's end")
            answer = at.person.there("", before)
            assert answer is None or answer.ephemeral, "it is not theirs to stop"
    finally:
        at.person.be("you")


def reload(at: Session) -> None:
    count = len([one for one in at.person.messages() if not one.waiting])
    at.person.driver.refresh()
    at.person.until(lambda: len(at.person.messages()) >= min(count, 50), "the channel is there again")


def look_from_another_tab(at: Session) -> None:
    newest = at.person.last_id()
    at.other_tab.here()
    at.other_tab.until(lambda: at.other_tab.last_id() >= newest, "the other tab has it as well")
    words = f"hello from the other tab {at.rng.random():.6f}"
    at.other_tab.say(words)
    at.person.here()
    at.person.comes(words)


def cancel(at: Session) -> None:
    thing = at.thing()
    at.ask(f"/imagine {thing} steps:300", thing)
    at.answered("/cancel", "stops")


def turn_history(at: Session) -> None:
    shown = at.ask("/history", "Your pictures")
    at.person.press(shown.id, "Older")
    at.person.until(lambda: _now(at, shown).text != shown.text, "the page is turned")


def delete(at: Session) -> None:
    message = at.finished()
    if message is None:
        return talk(at)
    at.person.press(message.id, "Delete")
    at.person.until(lambda: at.person.message(message.id) is None, "it is gone")
    return None


def dismiss(at: Session) -> None:
    shown = at.ask("/help", "Pictures from words")
    at.person.find(f"#message-{shown.id} .aside button").click()
    at.person.until(lambda: at.person.message(shown.id) is None, "it is put away")


def direct(at: Session) -> None:
    at.person.go("inter")  # the bot's name: Painter
    thing = at.thing()
    at.ask(f"/imagine {thing} steps:5", thing)
    at.person.go("paintings")
    at.person.until(lambda: len(at.person.messages()) > 3, "the channel is read again")


ACTIONS = {
    imagine: 5,
    imagine_by_keys: 3,
    imagine_by_clicks: 3,
    look_up: 6,
    change_settings: 1,
    manage: 1,
    press_finished: 5,
    remix: 2,
    edit_by_button: 2,
    show: 1,
    forward: 1,
    thread: 1,
    film: 1,
    steer: 3,
    stop: 3,
    react: 3,
    rerun_by_reaction: 2,
    edit_upload: 2,
    edit_by_menu: 2,
    talk: 2,
    be_a_friend: 2,
    reload: 2,
    look_from_another_tab: 2,
    cancel: 1,
    turn_history: 1,
    delete: 1,
    dismiss: 1,
    direct: 1,
}
