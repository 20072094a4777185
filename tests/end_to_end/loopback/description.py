"""Checks of request bodies against Discord's own API description, where it is at hand."""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema.exceptions
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from local_discord.ids import Json

_HERE = Path(__file__).resolve()
DESCRIPTION = Path(
    os.environ.get("DISCORD_OPENAPI") or _HERE.parents[4] / "shared" / "reference" / "discord-openapi.json"
)
_BASE = "discord:api"


class Description:
    """Discord's OpenAPI document, as a judge of what the bot sends."""

    def __init__(self, document: Json) -> None:
        # A snowflake may be a number as well: Discord takes both, and discord.py sends numbers.
        document["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
        self._registry = Registry().with_resource(_BASE, Resource(document, DRAFT202012))
        self._operations = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), path, operations)
            for path, operations in document["paths"].items()
        ]
        # `/@me` before `/{id}`: the more literal path is meant.
        self._operations.sort(key=lambda operation: operation[1].count("{"))

    def complaint(self, method: str, path: str, body: Any) -> str | None:
        """Say what is wrong with a body, or None."""
        found = next((known for known in self._operations if known[0].match(path) and method.lower() in known[2]), None)
        if found is None:
            return f"{method} {path} is not in the description"
        content = found[2][method.lower()].get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return f"{method} {path} takes no body" if body else None
        return self._judge(f"{method} {found[1]}", found[1], method.lower()).complaint(body)

    @functools.lru_cache(maxsize=64)  # noqa: B019, one description lives as long as the tests
    def _judge(self, name: str, path: str, method: str) -> "_Judge":
        pointer = f"/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}/requestBody/content/application~1json"
        schema = {"$ref": f"{_BASE}#{pointer.replace('{', '%7B').replace('}', '%7D')}/schema"}
        return _Judge(name, jsonschema.Draft202012Validator(schema, registry=self._registry))


class _Judge:
    def __init__(self, name: str, validator: Any) -> None:
        self._name = name
        self._validator = validator

    def complaint(self, body: Any) -> str | None:
        error = jsonschema.exceptions.best_match(self._validator.iter_errors(body))
        return None if error is None else f"{self._name}: at {error.json_path}: {error.message[:300]}"


@functools.cache
def description() -> Description | None:
    """Return the description, or None where it is not at hand."""
    return Description(json.loads(DESCRIPTION.read_text(encoding="utf-8"))) if DESCRIPTION.is_file() else None
