"""The options of chat commands, checked as a client of Discord checks them before it sends them."""

from collections.abc import Iterator
from typing import Any

from local_discord.errors import invalid
from local_discord.ids import Json

_SUBCOMMAND, _GROUP, _STRING, _INTEGER, _BOOLEAN, _NUMBER = 1, 2, 3, 4, 5, 10
_TYPES: dict[int, type | tuple[type, ...]] = {_STRING: str, _INTEGER: int, _BOOLEAN: bool, _NUMBER: (int, float)}


def option_values(options: list[Json]) -> Iterator[tuple[int, Any]]:
    """Yield type and value of every option, those of subcommands among them."""
    for option in options:
        if option["type"] in (_SUBCOMMAND, _GROUP):
            yield from option_values(option.get("options", []))
        else:
            yield option["type"], option["value"]


def check_options(level: Json, options: list[Json]) -> None:
    """Refuse options that the command does not take; raise `Refused`."""
    known = {option["name"]: option for option in level.get("options") or ()}
    if any(option["type"] in (_SUBCOMMAND, _GROUP) for option in known.values()):
        if len(options) != 1 or options[0]["name"] not in known:
            raise invalid(f"choose one of {', '.join(known)}")
        check_options(known[options[0]["name"]], options[0].get("options", []))
        return
    for option in options:
        if option["name"] not in known:
            raise invalid(f"there is no option {option['name']}; there are {', '.join(known)}")
        _check_value(known[option["name"]], option)
    given = {option["name"] for option in options}
    if missing := [name for name, option in known.items() if option.get("required") and name not in given]:
        raise invalid(f"{', '.join(missing)} must be given")


def _check_value(known: Json, option: Json) -> None:
    name, value, kind = known["name"], option["value"], known["type"]
    expected = _TYPES.get(kind, str)
    if option["type"] != kind or not isinstance(value, expected) or (isinstance(value, bool) and kind != _BOOLEAN):
        raise invalid(f"{name} takes another type of value than {value!r}")
    if known.get("choices") and value not in [choice["value"] for choice in known["choices"]]:
        raise invalid(f"{name} is one of {', '.join(str(choice['name']) for choice in known['choices'])}")
    size = value if isinstance(value, int | float) else len(value)
    low, high = ("min_length", "max_length") if kind == _STRING else ("min_value", "max_value")
    if known.get(low) is not None and size < known[low]:
        raise invalid(f"{name} is at least {known[low]}" + (" characters long" if kind == _STRING else ""))
    if size > known.get(high, 6000 if kind == _STRING else 2**53):
        raise invalid(f"{name} is at most {known.get(high, 6000)}" + (" characters long" if kind == _STRING else ""))
