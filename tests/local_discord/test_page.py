"""The page against a small real bot: what it shows of everything that Discord has, and what it sends for it."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from local_discord import TOKEN, LocalDiscord, people_api
from local_discord.furnish import furnish
from tests.end_to_end.browser import CHROMIUM, DRIVER, Person, browser
from tests.local_discord.page_bot import THOUGHT, Bot

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver are installed"),
    pytest.mark.timeout(200),
]


@pytest.fixture(scope="module", autouse=True)
def thoughtful() -> None:
    THOUGHT.set()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Serve the page and run the bot, in a loop of their own; hand over the page's address."""
    started: list[tuple[LocalDiscord, discord.Client]] = []
    ready = threading.Event()
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY

    async def serve() -> None:
        local = await LocalDiscord.start(tmp_path_factory.mktemp("discord"), page=people_api.routes)
        furnish(local.world)
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = local.api_base, yarl.URL(local.gateway.url)
        async with Bot(ready) as client:
            started.append((local, client))
            await client.start(TOKEN)
        await local.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        local, client = started[0]
        yield local.page_url
        asyncio.run_coroutine_threadsafe(client.close(), loop).result(20)
    finally:
        thread.join(20)
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
        complaints = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert not complaints


@pytest.fixture
def you(address: str, driver, tmp_path) -> Person:
    you = Person(driver, tmp_path)
    you.open(address)
    return you


@pytest.fixture
def shown(you: Person) -> str:
    return f"#message-{you.comes('Heading', you.say('/everything')).id}"


def test_every_option_is_sent_as_what_it_is(you: Person, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    you.attach(tmp_path / "a.txt")
    you.say("/take some words: here count:12 share:0,5 yes:no who:@a friend where:#sketches taste:sweet")
    you.until(lambda: "count is a whole number from 1 to 9" in you.find("#composer-above").text, "12 is too many")
    you.composer.clear()
    before = you.last_id()
    you.type("/take some words count:3 share:0,5 yes:no who:@a friend where:#sketches taste:sweet found:pole")
    you.until(lambda: "north pole" in you.find("#suggestions").text, "the bot's suggestions")
    you.type(Keys.ARROW_DOWN, Keys.ENTER)
    you.until(lambda: you.composer.get_attribute("value").endswith("found:north "), "the suggestion is taken")
    you.type(Keys.ENTER)
    taken = you.comes("took", before).text
    assert "['some words', 3, 0.5, False, 'a friend', 'sketches', 'a.txt', 7, 'north']" in taken


def test_files_are_pasted_and_dropped(you: Person) -> None:
    before = you.last_id()
    script = """
      const data = new DataTransfer();
      data.items.add(new File(['a'], arguments[0], {type: 'text/plain'}));
      const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
      document.querySelector(arguments[1]).dispatchEvent(
        arguments[2] === 'paste' ? new ClipboardEvent('paste', options) : new DragEvent('drop', options));
    """
    you.driver.execute_script(script, "pasted.txt", "#composer-input", "paste")
    you.driver.execute_script(script, "dropped.txt", "#messages", "drop")
    you.type("two files", Keys.ENTER)
    message = you.comes("two files", before)
    assert "pasted.txt" in message.text
    assert "dropped.txt" in message.text


def test_every_field_of_a_form_is_sent(you: Person, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    before = you.say("/form")
    form = you.until(lambda: you.find("#form[open]"), "the form")
    you.find("#form .primary").click()
    assert you.find("#form .failed").text == "Words is needed."
    you.find("#field-words").send_keys("wo")
    you.find("#form .primary").click()
    assert you.find("#form .failed").text == "Words takes at least 3 characters."
    you.find("#field-words").send_keys("rds")
    you.find("#field-one").send_keys("pear")
    you.find("#field-file").send_keys(str(tmp_path / "a.txt"))
    form.find_element(By.CSS_SELECTOR, "[value=r]").click()
    you.find("#field-tick").click()
    you.find("#form .primary").click()
    assert "got ['words', ['p'], 'a.txt', 'r', True]" in you.comes("got", before).text


def test_buttons_and_selects(you: Person, shown: str) -> None:
    message = shown.removeprefix("#message-")
    assert "answers None" in you.comes("answers", you.press(message, "answers")).text
    you.press(message, "silent")
    you.until(lambda: "The application did not respond" in you.find(shown).text, "the failure is shown")
    before = you.last_id()
    you.find(f"{shown} select[data-key=one]").send_keys("pear")
    assert "['pear']" in you.comes("one", before).text
    you.find(f"{shown} details").click()
    for box in you.all(f"{shown} details input"):
        box.click()
    you.find(f"{shown} details button").click()
    assert "['apple', 'pear']" in you.comes("many", before).text
    you.find(f"{shown} select[data-key=where]").send_keys("#sketches")
    you.comes("where", before)
    assert not you.find(f"{shown} [data-key=off]").is_enabled()
    you.press(message, "edits")
    you.until(lambda: "edited" in you.find(shown).text, "the message is edited")


def test_words_are_shown_and_never_run(you: Person, shown: str) -> None:
    body = you.find(f"{shown} .text").get_attribute("innerHTML")
    for piece in (
        "<h4>Heading</h4>",
        "<strong>bold</strong>",
        "<em>slanted</em>",
        "<u>under</u>",
        "<s>gone</s>",
        "*plain*",
    ):
        assert piece in body
    assert "<code>code &lt;b&gt;</code>" in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "print('&lt;i&gt;')" in body
    assert "years ago" in you.find(f"{shown} time[data-style=R]").text
    hidden = you.find(f"{shown} .spoiler span")
    assert hidden.value_of_css_property("visibility") == "hidden"
    you.find(f"{shown} .spoiler").click()
    assert hidden.value_of_css_property("visibility") == "visible"
    assert not you.driver.execute_script("return document.querySelectorAll('#messages script').length")


def test_pictures_open_full_size_and_hidden_ones_only_once_shown(you: Person, shown: str) -> None:
    green, blue = you.all(f"{shown} .gallery .media")
    assert green.find_element(By.CSS_SELECTOR, "img").get_attribute("alt") == "all green"
    you.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", green)
    blue.click()
    assert not you.all("#viewer[open]")
    green.click()
    full = you.until(lambda: you.find("#viewer[open] img"), "the picture")
    you.until(lambda: full.get_property("naturalWidth") == 320, "it is loaded")
    assert "all green" in you.find("#viewer figcaption").text
    you.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    you.until(lambda: not you.all("#viewer[open]"), "it is closed")
    assert you.find(f"{shown} .file").get_attribute("download") == "words.txt"


def test_silence_thinking_and_the_message_menu(you: Person) -> None:
    you.say("/silence")
    you.until(lambda: "did not respond" in you.messages()[-1].text, "the silence is shown")
    THOUGHT.clear()
    before = you.say("/think")
    you.until(lambda: you.there("is thinking", before), "it is thinking")
    THOUGHT.set()
    thought = you.comes("well", before)
    assert "Thought" in thought.text
    assert "(edited)" not in thought.text, "it is the answer, and no edit of one"
    before = you.say("five!")
    you.menu(you.comes("five!", before).id, "Count the letters")
    assert you.comes("5 letters", before).ephemeral


def test_replies_lead_to_what_they_answer(you: Person) -> None:
    first = you.comes("the first words", you.say("the first words"))
    for number in range(12):
        you.comes(f"more {number}", you.say(f"more {number}\n\n\n"))
    you.menu(first.id, "Reply")
    reply = you.comes("an answer", you.say("an answer"))
    you.find(f"#message-{reply.id} .above button").click()
    you.until(
        lambda: you.driver.switch_to.active_element.get_attribute("id") == f"message-{first.id}", "it jumps there"
    )
    assert not you.find("#to-newest").get_attribute("hidden")
    you.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert "more 0" in you.driver.switch_to.active_element.text


def channel_menu(you: Person, entry: str) -> None:
    you.find("#channel-menu").click()
    you.choose(entry)


def topic(you: Person) -> str:
    return you.find("#channel-topic").text


def test_a_message_is_forwarded(you: Person, shown: str) -> None:
    before = you.last_id()
    you.menu(shown.removeprefix("#message-"), "Forward")
    you.choose("#sketches")
    you.go("sketches")
    forwarded = you.comes("Forwarded from #paintings", before)
    assert len(forwarded.alts) == 3, "with its pictures"
    you.find(f"#message-{forwarded.id} .subtext .jump").click()
    you.until(lambda: you.driver.switch_to.active_element.get_attribute("id") == shown[1:], "it jumps back")


def test_threads(you: Person) -> None:
    before = you.say("let us talk")
    said = you.comes("let us talk", before)
    you.menu(said.id, "Start a thread")
    you.fill(name="apples")
    you.until(lambda: topic(you) == "A thread in #paintings", "the thread is open")
    assert "well" in you.comes("well", you.say("/think")).text, "commands work there"
    channel_menu(you, "Archive")
    you.until(lambda: topic(you).endswith("archived"), "it is archived")
    you.comes("once more", you.say("once more"))
    you.until(lambda: topic(you) == "A thread in #paintings", "a message opens it again")
    channel_menu(you, "Lock")
    you.until(lambda: topic(you).endswith("locked"), "it is locked")
    you.be("a friend")
    you.go("paintings")
    you.find(f"#message-{said.id} [data-channel]").click()
    you.until(lambda: you.find("#channel-title").text == "#apples", "the way from the message")
    you.say("may I?")
    you.until(lambda: "archived or locked" in you.find("#composer-above").text, "it is for who manages threads")
    you.composer.clear()
    you.be("you")
    channel_menu(you, "Unlock")
    you.until(lambda: topic(you) == "A thread in #paintings", "it is unlocked")
    you.go("paintings")


def test_a_private_thread_is_seen_by_who_is_added(you: Person) -> None:
    def listed() -> bool:
        return any("secrets" in one.text for one in you.all("#sidebar nav button"))

    channel_menu(you, "Start a thread")
    you.until(lambda: you.find("#field-private"), "the form").click()
    you.fill(name="secrets")
    you.until(listed, "it is there")
    you.be("a friend")
    assert not listed()
    you.be("you")
    you.go("secrets")
    channel_menu(you, "Add a friend")
    you.be("a friend")
    you.until(listed, "it is there for a friend too")
    you.go("secrets")
    channel_menu(you, "Leave")
    you.until(lambda: not listed(), "it is gone")
    assert you.find("#channel-title").text != "#secrets"
    you.be("you")
    you.go("paintings")


def test_it_can_be_used_by_keys_and_by_ear(you: Person, shown: str) -> None:
    nameless = """
      const name = one => one.innerText || one.ariaLabel || one.alt || one.labels?.length || one.title;
      return [...document.querySelectorAll('button, a, input, textarea, select, img, video')]
        .filter(one => one.checkVisibility() && !name(one)).map(one => one.outerHTML);
    """
    assert you.driver.execute_script(nameless) == []
    you.find("#who").click()
    assert you.driver.switch_to.active_element.get_attribute("role") == "menuitemradio"
    you.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not you.all("#menu:popover-open")
    assert you.driver.switch_to.active_element.get_attribute("id") == "who"
    you.type("/ev")
    chosen = you.composer.get_attribute("aria-activedescendant")
    assert "/everything" in you.find(f"#{chosen}").text
    you.composer.clear()


def test_it_fits_a_phone(you: Person, shown: str) -> None:
    you.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        wide = "return document.getElementById('scroller').scrollWidth > innerWidth"
        you.until(lambda: not you.driver.execute_script(wide), "nothing is wider than the phone")
        you.until(lambda: not you.find("#guild").is_displayed(), "the channels make room")
        you.until(lambda: not you.find("#to-newest").is_displayed(), "who was at the newest message is there still")
        you.find("#show-sidebar").click()
        you.until(lambda: you.find("#guild").is_displayed(), "the channels")
        you.go("sketches")
        you.until(lambda: not you.find("#guild").is_displayed(), "the channels make room")
        you.photograph("phone")
    finally:
        you.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        you.go("paintings")


def test_two_people_see_what_is_theirs(you: Person) -> None:
    before = you.say("/form")
    you.until(lambda: you.find("#form[open]"), "the form")
    you.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    own = you.comes("what you wrote", you.say("what you wrote"))
    you.menu(own.id, "Count the letters")
    you.comes("14 letters", before)
    you.be("a friend")
    assert you.there("what you wrote")
    assert not you.there("14 letters")
    you.be("you")


def test_without_the_secret_there_is_no_page(you: Person, address: str) -> None:
    for path in ("", "style.css", "api/limits", "wrong/", "wrong/api/socket"):
        root = "/".join(address.split("/")[:3])
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{root}/{path}", timeout=10)
        assert refused.value.code == 404
