"""What pressing, choosing and submitting send: the interaction responses of developers/components/reference."""

from collections.abc import Callable
from typing import Any

from local_discord import components as parts
from local_discord.errors import invalid
from local_discord.files import Attachment
from local_discord.ids import Json
from local_discord.world import World

_BUTTON, _STRING_SELECT, _TEXT_INPUT, _USER, _ROLE, _MENTIONABLE, _CHANNEL = 2, 3, 4, 5, 6, 7, 8
_LABEL, _FILES, _RADIO, _CHECKBOXES, _CHECKBOX = 18, 19, 21, 22, 23
_SELECTS = (_STRING_SELECT, _USER, _ROLE, _MENTIONABLE, _CHANNEL)
_LINK = 5
_Take = Callable[[int], Attachment]


def component_data(world: World, components: list[Json], custom_id: str, values: list[str] | None) -> Json:
    """Make the data of a pressed button (`values` None) or of a select menu; raise `Refused`."""
    component = next((part for part in parts.walk(components) if part.get("custom_id") == custom_id), None)
    if component is None or component.get("disabled") or component.get("style") == _LINK:
        raise invalid(f"there is no component {custom_id} that can be used")
    data: Json = {"custom_id": custom_id, "component_type": component["type"], "id": component["id"]}
    if component["type"] == _BUTTON:
        return data
    chosen = _chosen(_given(component), values)
    resolved = _resolved(world, component["type"], chosen)
    return data | {"values": chosen} | ({"resolved": resolved} if resolved else {})


def submitted(world: World, modal: Json, values: dict[str, Any], take: _Take) -> Json:
    """Make the data of a form that was sent; raise `Refused` where Discord's client would not send it."""
    resolved: Json = {}
    numbered = parts.numbered(modal["components"])
    fields = [part["custom_id"] for part in parts.walk(numbered) if "custom_id" in part]
    if stray := values.keys() - set(fields):
        raise invalid(f"there is no field {', '.join(sorted(stray))}; there are {', '.join(fields)}")
    rows = []
    for row in numbered:
        if row["type"] == _LABEL:
            field = _field(world, row["component"], values, take, resolved)
            rows.append({"type": _LABEL, "id": row["id"], "component": field})
        elif "components" in row:
            inner = [_field(world, part, values, take, resolved) for part in row["components"]]
            rows.append({"type": row["type"], "id": row["id"], "components": inner})
        else:
            rows.append({"type": row["type"], "id": row["id"]})
    data = {"custom_id": modal["custom_id"], "components": rows}
    return data | ({"resolved": resolved} if resolved else {})


def _field(world: World, field: Json, values: dict[str, Any], take: _Take, resolved: Json) -> Json:
    field, kind, custom_id = _given(field), field["type"], field["custom_id"]
    value = values.get(custom_id)
    data: Json = {"type": kind, "id": field["id"], "custom_id": custom_id}
    if kind == _TEXT_INPUT:
        return data | {"value": _text(field, value)}
    if kind == _CHECKBOX:
        return data | {"value": bool(field.get("default") if value is None else value)}
    if kind == _RADIO:
        [*chosen] = _chosen(field | {"max_values": 1}, [value] if isinstance(value, str) else value)
        return data | {"value": chosen[0] if chosen else None}
    chosen = _chosen(field, value)
    if kind == _FILES:
        files = [take(int(number)) for number in chosen]
        resolved.setdefault("attachments", {}).update({str(file.id): file.json() for file in files})
        return data | {"values": [str(file.id) for file in files]}
    for name, found in _resolved(world, kind, chosen).items():
        resolved.setdefault(name, {}).update(found)
    return data | {"values": chosen}


def _given(component: Json) -> Json:
    """Return a component without the fields that are null, which the API takes for not given."""
    return {name: value for name, value in component.items() if value is not None}


def _text(field: Json, value: str | None) -> str:
    text = field.get("value") or "" if value is None else value
    if not text and field.get("required", True):
        raise invalid(f"{field['custom_id']} is required")
    if text and not field.get("min_length", 0) <= len(text) <= field.get("max_length", 4000):
        raise invalid(
            f"{field['custom_id']} has {field.get('min_length', 0)} to {field.get('max_length', 4000)} characters"
        )
    return text


def _chosen(field: Json, values: Any) -> list[str]:
    """Return the values that were chosen, or the defaults; raise `Refused` for too many, too few or others."""
    options = field.get("options")
    if values is None:
        values = [option["value"] for option in options or () if option.get("default")]
    values = [str(value) for value in values]
    name, required = field["custom_id"], field.get("required", True)
    if options is not None and (stray := set(values) - {option["value"] for option in options}):
        raise invalid(f"{name} has no option {', '.join(sorted(stray))}")
    if not values and not required:
        return []
    many = len(options) if options is not None and field["type"] == _CHECKBOXES else 1
    low, high = field.get("min_values", 1), field.get("max_values", many)
    if not low <= len(values) <= high:
        raise invalid(f"{name} takes {low} to {high} values")
    return values


def _resolved(world: World, kind: int, values: list[str]) -> Json:
    found: Json = {}
    for value in values if kind in _SELECTS else ():
        number = int(value) if value.isdecimal() else 0
        if kind in (_USER, _MENTIONABLE) and number in world.users:
            found.setdefault("users", {})[value] = world.users[number].json()
        elif kind in (_ROLE, _MENTIONABLE) and number in world.roles:
            found.setdefault("roles", {})[value] = world.roles[number].json()
        elif kind == _CHANNEL:
            found.setdefault("channels", {})[value] = world.channel(number).json()
    return found
