"""Message components: walking through them, giving them ids, and what Discord puts in the place of uploaded media.

developers/components/reference. A file that a component or an embed shows stands there as an unfurled media item and
is not listed in the message's `attachments` (developers/resources/message: "any attached files that are not referenced
in embeds or components").
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from local_discord.errors import invalid
from local_discord.files import Attachment
from local_discord.ids import Json, snowflake

TEXT, MEDIA_ONLY_V2 = 10, range(9, 18)
_MOST_COMPONENTS, _MOST_TEXT, _MOST_GALLERY = 40, 4000, 10
_NOT_GIVEN: dict[int, Json] = {
    **{menu: {"min_values": 1, "max_values": 1} for menu in (3, 5, 6, 7, 8)},
    11: {"description": None, "spoiler": False},
    13: {"spoiler": False},
    14: {"spacing": 1, "divider": True},
    17: {"accent_color": None, "spoiler": False},
}
"""By a component's type: what Discord hands out of it where nobody gave a value."""
_EMBED_MEDIA = ("image", "thumbnail", "video")


def walk(value: Any) -> Iterator[Json]:
    """Yield every component in a tree of them."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        for part in value.values():
            yield from walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from walk(part)


def media(value: Any) -> Iterator[Json]:
    """Yield every media item in a tree of components: of galleries, thumbnails and files."""
    for part in walk(value):
        yield from (item["media"] for item in part.get("items", ()))
        yield from (part[name] for name in ("media", "file") if isinstance(part.get(name), dict))


def numbered(components: list[Json]) -> list[Json]:
    """Return the components, each with an `id`: its own, or the next that is free, counted from 1."""
    taken = {part["id"] for part in walk(components) if part.get("id")}
    free = (number for number in itertools.count(1) if number not in taken)

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return [number(part) for part in value]
        if not isinstance(value, dict):
            return value
        own = {"type": value["type"], "id": value.get("id") or next(free)} if "type" in value else {}
        return own | {key: number(part) for key, part in value.items() if key not in own}

    return number(components)


def resolved(components: list[Json], files: Mapping[str, Attachment], shown: set[int]) -> list[Json]:
    """Return the components as Discord hands them out, media with their addresses; add to `shown` the files in them."""

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(part) for part in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("url"), str) and "type" not in value:
            return _media_item(value["url"], files, shown)
        return {key: _emoji(part) if key == "emoji" else resolve(part) for key, part in value.items()}

    result = resolve(components)
    for part in walk(result):
        for item in part.get("items", ()):
            item.update(_NOT_GIVEN[11] | item)
        part.update(_NOT_GIVEN.get(part["type"], {}) | part)
        if part["type"] == 13 and (file := files.get(f"attachment://{_name(part['file']['url'])}")) is not None:
            part |= {"name": file.filename, "size": file.size}
    return result


def resolved_embeds(embeds: list[Json], files: Mapping[str, Attachment], shown: set[int]) -> list[Json]:
    """Return embeds as Discord hands them out; add to `shown` the files in them."""

    def media_of(embed: Json) -> Json:
        return {
            name: {
                key: part
                for key, part in _media_item(embed[name]["url"], files, shown).items()
                if key != "attachment_id"
            }
            for name in _EMBED_MEDIA
            if name in embed
        }

    return [{**embed, "type": embed.get("type", "rich"), **media_of(embed)} for embed in embeds]


def check(components: list[Json], *, v2: bool) -> None:
    """Refuse what a message may not consist of; raise `Refused`."""
    found = list(walk(components))
    if not v2 and any(part["type"] in MEDIA_ONLY_V2 for part in found):
        raise invalid("components need MessageFlags.IS_COMPONENTS_V2")
    counted = [part for part in found if isinstance(part["type"], int)]
    if len(counted) > _MOST_COMPONENTS:
        raise invalid(f"at most {_MOST_COMPONENTS} components, not {len(counted)}")
    if sum(len(part["content"]) for part in found if part["type"] == TEXT) > _MOST_TEXT:
        raise invalid(f"the text of all components may have at most {_MOST_TEXT} characters")
    if any(not 1 <= len(part.get("items", [0])) <= _MOST_GALLERY for part in found):
        raise invalid(f"a media gallery has 1 to {_MOST_GALLERY} items")
    ids = [part["custom_id"] for part in found if "custom_id" in part]
    if len(ids) != len(set(ids)):
        raise invalid("component custom ids cannot be duplicated")
    if any(not 1 <= len(custom_id) <= 100 for custom_id in ids):
        raise invalid("a custom_id has 1 to 100 characters")


def _media_item(url: str, files: Mapping[str, Attachment], shown: set[int]) -> Json:
    file = files.get(url)
    if file is None:
        return {"id": str(snowflake()), "url": url, "proxy_url": url}
    shown.add(file.id)
    item: Json = {
        "id": str(file.id),
        "url": file.url,
        "proxy_url": file.proxy_url,
        "attachment_id": str(file.id),
        "flags": 0,
    }
    if file.content_type is not None:
        item["content_type"] = file.content_type
    if file.size_in_pixels is not None:
        item["width"], item["height"] = file.size_in_pixels
    return item


def _emoji(value: Json) -> Json:
    return {name: part for name, part in value.items() if part is not None}


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
