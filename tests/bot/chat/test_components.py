import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chat import content
from bot.chat.components import GroupButton, JobButton, PageButton, alt_of, layout, note
from bot.chat.content import ALT_LIMIT
from bot.chat.forms import Answers, EditForm, RemixForm, SteerForm, form_of
from bot.options import EDIT_STRENGTH
from engine.spec import Motion
from local_discord.components import walk
from tests.bot.conftest import make_job

NOTHING: Any = None
"""The interaction and the item, which no button looks at."""


@pytest.fixture
def job(ask):
    return make_job(ask(), step=6, seconds=1.0)


def test_every_button_has_the_job_in_its_id_and_fits(job):
    for body in (
        content.queued(job, 1, None),
        content.starting(job),
        content.finished(job),
        content.cancelled(job),
    ):
        view = layout(body, job.id)
        ids = [item.custom_id for item in view.walk_children() if isinstance(item, JobButton)]
        assert ids == [f"job:{action}:{job.id}" for action in body.buttons]
        assert view.timeout is None
        assert view.has_components_v2()


@pytest.mark.parametrize("custom_id", ["job:rerun:abcdefgh", "job:some-later-one:a2345672"])
async def test_buttons_of_older_and_newer_versions_are_recognised(custom_id):
    match = JobButton.__discord_ui_compiled_template__.fullmatch(custom_id)
    assert match is not None
    button = await JobButton.from_custom_id(NOTHING, NOTHING, match)
    assert button.custom_id == custom_id
    assert len(button.item.label or "") <= 80


OF_0_1_0 = ("rerun", "vary", "refine", "timelapse", "steer", "stop", "delete")


@pytest.mark.parametrize("action", OF_0_1_0)
async def test_a_button_of_the_first_version_is_the_same_button_still(action):
    match = JobButton.__discord_ui_compiled_template__.fullmatch(f"job:{action}:abcdefgh")
    assert match is not None
    button = await JobButton.from_custom_id(NOTHING, NOTHING, match)
    assert (button.action, button.item.label, str(button.item.emoji) != "❔") == (action, action.title(), True)


@pytest.mark.parametrize("custom_id", ["job:rerun:ABCDEFGH", "job:rerun:abc", "job::abcdefgh", "xjob:rerun:abcdefgh"])
def test_other_ids_are_none_of_ours(custom_id):
    assert JobButton.__discord_ui_compiled_template__.fullmatch(custom_id) is None


async def test_pages_come_back_from_their_id():
    group = GroupButton("a" * 32, 24)
    assert len(group.custom_id) <= 100
    match = GroupButton.__discord_ui_compiled_template__.fullmatch(group.custom_id)
    assert match is not None
    assert (await GroupButton.from_custom_id(NOTHING, NOTHING, match)).note == "a" * 32
    stop = GroupButton("a" * 32, 24, stops=True)
    match = GroupButton.__discord_ui_compiled_template__.fullmatch(stop.custom_id)
    assert match is not None
    again = await GroupButton.from_custom_id(NOTHING, NOTHING, match)
    assert (again.note, again.stops, again.custom_id) == ("a" * 32, True, stop.custom_id)
    assert not group.stops
    match = PageButton.__discord_ui_compiled_template__.fullmatch("history:123:4:o")
    assert match is not None
    button = await PageButton.from_custom_id(NOTHING, NOTHING, match)
    assert (button.user_id, button.page, button.custom_id) == (123, 4, "history:123:4:o")


def test_the_picture_is_in_a_gallery_with_alternative_text(job):
    view = layout(content.finished(job), job.id, ["painting-x.png"])
    payload = view.to_components()
    gallery = next(part for part in payload[0]["components"] if part["type"] == 12)
    assert gallery["items"][0]["media"]["url"] == "attachment://painting-x.png"
    assert gallery["items"][0]["description"] == "a red apple"


def test_the_longest_message_fits(job):
    from dataclasses import replace

    long = replace(job, prompt="_" * 5000, notices=("_" * 900,) * 2)
    text = "".join(re.findall(r"'content': '(.*?)'", str(layout(content.finished(long), job.id).to_components())))
    assert len(text) < 4000


FULLEST = {
    "finished": {},
    "tiled": {"tile": True},
    "animated": {"motion": Motion(seconds=1, fps=2, begin=6), "steps": 9},
    "grid": {"count": 4},
}


@pytest.mark.parametrize("changes", FULLEST.values(), ids=FULLEST)
def test_the_fullest_message_keeps_to_discords_limits(job, changes):
    job = dataclasses.replace(job, spec=job.spec.but(**changes), notices=("a notice",) * 3)
    body = content.finished(job)
    buttons = body.buttons
    if job.spec.count == 4:
        assert {f"{kind}{number}" for kind in "vu" for number in range(1, 5)} | {"rerun", "remix"} <= set(buttons)
    files = [f"painting-x-{number}.png" for number in range(1, job.spec.count + 1)]
    payload = layout(body, job.id, files).to_components()
    parts = [part for part in walk(payload) if isinstance(part["type"], int)]
    assert len(parts) <= 40
    assert all(len(part["components"]) <= 5 for part in parts if part["type"] == 1)
    ids = [part["custom_id"] for part in parts if "custom_id" in part]
    assert len(ids) == len(set(ids)) == len(buttons)
    assert max(map(len, ids)) <= 100
    assert all(1 <= len(part["label"]) <= 80 for part in parts if part["type"] == 2)
    [gallery] = [part for part in parts if part["type"] == 12]
    assert len(gallery["items"]) == job.spec.count <= 10
    assert all(len(item["description"]) <= 1024 for item in gallery["items"])


def test_a_note_has_a_heading_and_its_lines():
    texts = [part["content"] for part in note("Title", ["one", "two"], 1).to_components()[0]["components"]]
    assert texts == ["### Title", "one\ntwo"]


def sent(custom_id: str, components: list[dict[str, Any]], kind=discord.InteractionType.modal_submit) -> Any:
    return SimpleNamespace(type=kind, data={"custom_id": custom_id, "components": components})


async def test_a_form_is_read_by_whichever_process_gets_it():
    form = SteerForm("abcdefgh", "x" * 5000)
    assert form.custom_id == "form:steer:abcdefgh"
    assert form.is_finished()  # discord.py keeps none of it
    field = {"type": 4, "custom_id": "prompt", "value": "a blue fish"}
    labelled, in_a_row = [{"type": 18, "component": field}], [{"type": 1, "components": [field]}]
    for components in (labelled, in_a_row):
        assert form_of(sent(form.custom_id, components)) == ("steer", "abcdefgh", Answers({"prompt": "a blue fish"}))


def test_lists_and_files_of_a_form_are_read():
    upload = {"id": "5", "filename": "SPOILER_m.png", "url": "https://x/m.png", "size": 7, "content_type": "image/png"}
    fields = [
        {"type": 3, "custom_id": "size", "values": ["64x64"]},
        {"type": 3, "custom_id": "preset", "values": []},
        {"type": 21, "custom_id": "strength", "value": None},
        {"type": 19, "custom_id": "mask", "values": ["5"]},
        {"type": 19, "custom_id": "towards", "values": []},
    ]
    interaction = sent("form:edit:abcdefgh", [{"type": 18, "component": field} for field in fields])
    interaction.data["resolved"] = {"attachments": {"5": upload}}
    found = form_of(interaction)
    assert found is not None
    kind, about, answers = found
    assert (kind, about, answers.texts) == ("edit", "abcdefgh", {"size": "64x64", "preset": "", "strength": ""})
    assert {name: (file.name, file.spoiler) for name, file in answers.files.items()} == {
        "mask": ("SPOILER_m.png", True)
    }


@pytest.mark.parametrize("generator", ["embedded", "imagenet-16384"])
async def test_forms_keep_to_discords_limits(ask, generator):
    spec = ask().spec.but(generator=generator, width=480, height=352)
    for form in (SteerForm("abcdefgh", "x" * 5000), RemixForm("abcdefgh", spec), EditForm("attached", "a" * 32)):
        shown = form.to_dict()
        assert 1 <= len(shown["components"]) <= 5
        assert len(shown["title"]) <= 45
        assert len(shown["custom_id"]) <= 100
        for label in shown["components"]:
            assert len(label["label"]) <= 45
            assert len(label.get("description") or "") <= 100
            assert len(label["component"].get("options", ())) <= 25
            assert len(label["component"].get("placeholder") or "") <= 100


@pytest.mark.parametrize("custom_id", ["form:steer", "form:steer:", "form:Steer:abc", "job:stop:abcdefgh", "5f0c"])
def test_other_forms_are_none_of_ours(custom_id):
    assert form_of(sent(custom_id, [])) is None
    assert form_of(sent("form:steer:abcdefgh", [], discord.InteractionType.component)) is None


def fields_of(form):
    return {label["component"]["custom_id"]: label["component"] for label in form.to_dict()["components"]}


def chosen(field):
    return [option["value"] for option in field["options"] if option.get("default")]


async def test_a_remix_begins_with_what_was_painted(ask):
    spec = ask().spec.but(width=96, height=64, seed=7, preset="draft")
    fields = fields_of(RemixForm("abcdefgh", spec))
    assert fields["prompt"]["value"] == "a red apple"
    assert fields["prompt"]["required"] is True
    assert (chosen(fields["size"]), chosen(fields["preset"])) == (["96x64"], ["draft"])
    assert fields["size"]["options"][0]["value"] == "96x64"
    for name in ("size", "preset"):
        values = [option["value"] for option in fields[name]["options"]]
        assert len(values) == len(set(values)) > 2
    assert (fields["seed"]["value"], fields["seed"]["required"]) == ("7", False)
    wordless = spec.but(prompts=[{"kind": "image", "content": "a.png"}])
    assert fields_of(RemixForm("abcdefgh", wordless))["prompt"]["required"] is False


async def test_steering_begins_with_the_words_so_far_as_far_as_they_fit():
    assert fields_of(SteerForm("abcdefgh", "a red apple"))["prompt"]["value"] == "a red apple"
    long = fields_of(SteerForm("abcdefgh", "x" * 5000))["prompt"]
    assert (len(long["value"]), long["max_length"], long["min_length"]) == (2000, 2000, 1)


async def test_an_edit_asks_for_words_and_may_be_told_how_far_and_where():
    fields = fields_of(EditForm("attached", "abc"))
    assert list(fields) == ["prompt", "strength", "mask_text", "mask", "towards"]
    assert [option["value"] for option in fields["strength"]["options"]] == ["0.3", "0.5", f"{EDIT_STRENGTH:g}", "1"]
    assert chosen(fields["strength"]) == [f"{EDIT_STRENGTH:g}"]
    assert fields["mask_text"]["required"] is False
    for name in ("mask", "towards"):
        assert (fields[name]["required"], fields[name]["min_values"], fields[name]["max_values"]) == (False, 0, 1)


async def test_a_pressed_button_reaches_its_handler():
    called = []

    async def handler(interaction, *what, **how):
        called.append((*what, *how.values()))

    client = SimpleNamespace(press_button=handler, press_group=handler, turn_page=handler)
    pressed: Any = SimpleNamespace(client=client)
    groups = [(GroupButton, f"group:abc123:4{stop}") for stop in ("", ":stop")]
    for kind, custom_id in [(JobButton, "job:v2:abcdefgh"), *groups, (PageButton, "history:17:3:o")]:
        match = re.fullmatch(kind.__discord_ui_compiled_template__, custom_id)
        assert match is not None
        button = await kind.from_custom_id(pressed, NOTHING, match)
        assert button.custom_id == custom_id
        await button.callback(pressed)
    assert called == [("v2", "abcdefgh"), ("abc123", False), ("abc123", True), (17, 3)]
    assert GroupButton("abc", 1).item.label == "Paint this"
    assert GroupButton("abc", 2).item.label == "Paint all 2"
    assert [PageButton(1, 2, way, disabled=way == "n").item.label for way in "on"] == ["Older", "Newer"]
    assert [PageButton(1, 2, way, disabled=way == "n").item.disabled for way in "on"] == [False, True]


@pytest.mark.parametrize(
    ("buttons", "rows"),
    [
        ((), []),
        (("rerun", "remix", "vary", "refine", "edit"), [5]),
        (("rerun", "remix", "vary", "refine", "edit", "delete"), [5, 1]),
        (("v1", "v2", "u1", "u2", "rerun"), [2, 2, 1]),
        (("rerun", "v1", "v2", "v3", "v4", "u1", "u2", "u3", "u4", "delete"), [1, 4, 4, 1]),
    ],
)
def test_buttons_lie_in_rows_of_five_and_those_of_several_pictures_apart(job, buttons, rows):
    body = dataclasses.replace(content.finished(job), buttons=buttons)
    view = layout(body, job.id)
    found = [one for one in view.walk_children() if isinstance(one, discord.ui.ActionRow)]
    assert [len(one.children) for one in found] == rows


def test_each_of_several_pictures_is_described(job):
    body = content.finished(job)
    view = layout(body, job.id, ["a.png", "b.png"])
    (gallery,) = [one for one in view.walk_children() if isinstance(one, discord.ui.MediaGallery)]
    assert [item.media.url for item in gallery.items] == ["attachment://a.png", "attachment://b.png"]
    assert [(item.description or "")[-9:] for item in gallery.items] == [" (1 of 2)", " (2 of 2)"]
    assert not (alt_of(body, 1, 1) or "").endswith("(1 of 1)")
    long = dataclasses.replace(body, alt="x" * 5000)
    assert len(alt_of(long, 4, 4) or "") <= ALT_LIMIT
    assert alt_of(dataclasses.replace(body, alt=""), 1, 1) is None


@pytest.mark.parametrize(
    ("button", "label", "emoji", "style"),
    [
        (JobButton("rerun", "abcdefgh"), "Rerun", "🔁", discord.ButtonStyle.primary),
        (JobButton("zoom-out", "abcdefgh"), "Zoom out × 1.5", "🔎", discord.ButtonStyle.secondary),
        (JobButton("some-later-one", "abcdefgh"), "Some-Later-One", "❔", discord.ButtonStyle.secondary),
        (GroupButton("abc", 1), "Paint this", "🖼️", discord.ButtonStyle.primary),
        (GroupButton("abc", 4), "Paint all 4", "🖼️", discord.ButtonStyle.primary),
        (GroupButton("abc", 4, stops=True), "Stop all", "⏹️", discord.ButtonStyle.secondary),
        (GroupButton("abc", 1, stops=True), "Stop all", "⏹️", discord.ButtonStyle.secondary),
        (PageButton(1, 2, "o"), "Older", "◀️", discord.ButtonStyle.secondary),
        (PageButton(1, 2, "n"), "Newer", "▶️", discord.ButtonStyle.secondary),
    ],
)
def test_what_stands_on_a_button(button, label, emoji, style):
    assert (button.item.label, str(button.item.emoji), button.item.style) == (label, emoji, style)


def test_a_message_has_its_colour_and_words_and_hides_what_is_to_be_hidden(job):
    for spoiler in (False, True):
        body = dataclasses.replace(content.finished(job), colour=content.AMBER, spoiler=spoiler)
        (box,) = layout(body, job.id, ["a.png", "b.png"]).to_components()
        assert box["accent_color"] == content.AMBER
        title, gallery, words, *_ = box["components"]
        assert title["content"] == body.title
        assert [item["spoiler"] for item in gallery["items"]] == [spoiler] * 2
        assert words["content"] == "\n".join((body.status, *body.small))
    (box,) = layout(body, job.id).to_components()
    assert [part["type"] for part in box["components"][:2]] == [10, 10], "no gallery without pictures"
    (box,) = note("Title", ["one"], content.RED).to_components()
    assert box["accent_color"] == content.RED
    assert note("Title", ["one"], content.RED).timeout is None
