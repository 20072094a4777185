"""`BOT_SETTINGS`: what all bots of a run are started with beside the tests' own settings, as JSON."""

import json
import os
from collections.abc import Mapping

from bot.settings import Settings

CHOSEN: Mapping[str, object] = json.loads(os.environ.get("BOT_SETTINGS", "{}"))
"""By names such as worker__isolation."""


def chosen(settings: Settings) -> Settings:
    """Return settings with what this run chose in place of what they say."""
    sections: dict[str, dict[str, object]] = {}
    for name, value in CHOSEN.items():
        section, key = name.split("__")
        sections.setdefault(section, getattr(settings, section).model_dump())[key] = value
    checked = {name: type(getattr(settings, name)).model_validate(values) for name, values in sections.items()}
    return settings.model_copy(update=checked)
