"""Forms: what they ask, and what was filled in. All state is in the custom_id, so that they work after a restart."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import discord
from discord import ui

from bot.chat.message_files import ShownFile, of_upload
from bot.options import EDIT_STRENGTH, SHAPES, preset_names, sizes
from engine.prompts import format_prompts
from engine.spec import PaintingSpec

_FORM = re.compile(r"form:(?P<kind>[a-z]{1,20}):(?P<about>[a-z0-9]{1,40})")
_PROMPT_LIMIT = 2000
_STRENGTHS = (
    (0.3, "A touch"),
    (0.5, "Clearly, close to the picture"),
    (EDIT_STRENGTH, "As usual"),
    (1.0, "As far as it takes"),
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody filled into a form, by field."""

    texts: Mapping[str, str]
    """What was typed or chosen; "" for nothing."""
    files: Mapping[str, ShownFile] = field(default_factory=dict)
    """What was uploaded, one file for a field; a field without is not there."""


def form_of(interaction: discord.Interaction[Any]) -> tuple[str, str, Answers] | None:
    """Return kind, subject and answers of a submitted form; None for any other interaction."""
    data: Any = interaction.data
    found = _FORM.fullmatch(data["custom_id"]) if interaction.type is discord.InteractionType.modal_submit else None
    if found is None:
        return None
    texts: dict[str, str] = {}
    files: dict[str, ShownFile] = {}
    uploads: Mapping[str, Any] = data.get("resolved", {}).get("attachments", {})
    for part in _fields(data["components"]):
        values = part["values"] if "values" in part else [part["value"] or ""]
        if part.get("type") == discord.ComponentType.file_upload.value:
            for number in values[:1]:
                files[part["custom_id"]] = of_upload(uploads[number])
        else:
            texts[part["custom_id"]] = values[0] if values else ""
    return found["kind"], found["about"], Answers(texts, files)


def _fields(components: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields, however they are wrapped."""
    for component in components:
        if "value" in component or "values" in component:
            yield component
        yield from _fields([component["component"]] if "component" in component else component.get("components", []))


class Form(ui.Modal):
    """A modal whose answer goes to `PaintingBot.on_interaction`, whichever process opened it."""

    def __init__(self, title: str, kind: str, about: str) -> None:
        super().__init__(title=title, custom_id=f"form:{kind}:{about}", timeout=None)
        self.stop()  # discord.py would wait for it in this process, and for ever where it is closed unsent

    def ask(self, text: str, hint: str | None, field: ui.Item[Self]) -> None:
        """Add a field under a heading."""
        self.add_item(ui.Label(text=text, description=hint, component=field))

    def ask_words(self, text: str, hint: str | None, words: str = "", **options: Any) -> None:
        """Add the field for a prompt."""
        options = {"min_length": 1, **options}
        style = discord.TextStyle.paragraph
        self.ask(
            text,
            hint,
            ui.TextInput(
                custom_id="prompt", style=style, default=words[:_PROMPT_LIMIT], max_length=_PROMPT_LIMIT, **options
            ),
        )


class SteerForm(Form):
    """Ask for the new prompt of a running job."""

    def __init__(self, job_id: str, prompt: str) -> None:
        super().__init__("Steer this painting", "steer", job_id)
        self.ask_words("From now on, paint", "The picture goes on from what it shows.", prompt)


class RemixForm(Form):
    """Ask what shall be different in a painting like another one."""

    def __init__(self, job_id: str, spec: PaintingSpec) -> None:
        super().__init__("Remix this picture", "remix", job_id)
        wordless = all(prompt.kind == "image" for prompt in spec.prompts)
        self.ask_words("Paint", None, format_prompts(spec.prompts), required=not wordless)
        size = f"{spec.width}x{spec.height}"
        self.ask("Size", None, _select("size", size, [size, *sizes(spec.generator), *SHAPES]))
        self.ask("Preset", None, _select("preset", spec.preset, [spec.preset, *preset_names()]))
        seed: ui.TextInput[Self] = ui.TextInput(
            custom_id="seed", default=str(spec.seed), required=False, max_length=10, placeholder="another one"
        )
        self.ask("Seed", "Empty: another one. The same seed shows what the other changes do.", seed)


class EditForm(Form):
    """Ask what a picture shall show, how far it may change, and where."""

    def __init__(self, kind: str, about: str) -> None:
        super().__init__("Edit this picture", kind, about)
        self.ask_words("It shall show", None, placeholder="a house in winter")
        options = [
            discord.RadioGroupOption(label=f"{label} ({value:g})", value=f"{value:g}", default=value == EDIT_STRENGTH)
            for value, label in _STRENGTHS
        ]
        self.ask("How far it may change", None, ui.RadioGroup(custom_id="strength", options=options))
        where: ui.TextInput[Self] = ui.TextInput(
            custom_id="mask_text", required=False, max_length=200, placeholder="the sky"
        )
        self.ask("What may change, in words", "Empty: all of it, or what is white in the mask.", where)
        self.ask("Or a mask", "Of the same shape: white may change, black stays.", _upload("mask"))
        self.ask("A second picture", "The first is painted towards it, beside the words.", _upload("towards"))


def _select(custom_id: str, chosen: str, values: Iterable[str]) -> ui.Select[Any]:
    options = [
        discord.SelectOption(label=value[:100], value=value[:100], default=value == chosen)
        for value in dict.fromkeys(values)
    ]
    return ui.Select(custom_id=custom_id, options=options[:25])


def _upload(custom_id: str) -> ui.FileUpload[Any]:
    return ui.FileUpload(custom_id=custom_id, required=False, min_values=0, max_values=1)
