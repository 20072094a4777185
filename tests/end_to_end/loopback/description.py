"""Checks of bodies, the bot's and the local Discord's, against Discord's own API description.

`discord-openapi.json.xz` is https://github.com/discord/discord-api-spec, `specs/openapi.json`, compressed.
"""

import functools
import json
import lzma
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema_rs import ValidationError

from local_discord.ids import Json

_DESCRIPTION = Path(__file__).parent / "discord-openapi.json.xz"
_BASE = "https://discord.com/openapi.json"


class Description:
    """Discord's OpenAPI document, as a judge of what the bot sends and of what it is answered."""

    def __init__(self, document: Json) -> None:
        # A snowflake may be a number as well: Discord takes both, and discord.py sends numbers.
        document["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
        # A forward's reference has type 1 (resources/message, "Message Reference Types"); the description knows only 0.
        document["components"]["schemas"]["MessageReferenceType"]["oneOf"].append({"const": 1})
        self._registry = jsonschema_rs.Registry([(_BASE, document)], draft=jsonschema_rs.Draft202012)
        self._operations = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), path, operations)
            for path, operations in document["paths"].items()
        ]
        # `/@me` before `/{id}`: the more literal path is meant.
        self._operations.sort(key=lambda operation: operation[1].count("{"))

    def complaint(self, method: str, path: str, body: Any) -> str | None:
        """Say what is wrong with a request's body, or None."""
        found = self._find(method, path)
        if found is None:
            return f"{method} {path} is not in the description"
        template, operation = found
        if "application/json" not in operation.get("requestBody", {}).get("content", {}):
            return f"{method} {path} takes no body" if body else None
        return self._wrong(f"{method} {template}", self._validator(template, method, "requestBody"), body)

    def answer_complaint(self, method: str, path: str, status: int, body: Any) -> str | None:
        """Say what is wrong with the body of an answer that means success, or None."""
        found = self._find(method, path)
        if found is None:
            return f"{method} {path} is not in the description"
        template, operation = found
        answer = operation["responses"].get(str(status))
        if answer is None:
            return f"{method} {template} does not answer {status}, but {', '.join(operation['responses'])}"
        if "application/json" not in answer.get("content", {}):
            return f"{method} {template} answers {status} without a body" if body else None
        validator = self._validator(template, method, f"responses/{status}")
        return self._wrong(f"{method} {template} -> {status}", validator, body)

    def object_complaint(self, schema: str, body: Any) -> str | None:
        """Say what is wrong with one of the API's objects, given the name of its schema, or None."""
        return self._wrong(schema, self._schema(schema), body)

    def _find(self, method: str, path: str) -> tuple[str, Json] | None:
        key = method.lower()
        matching = (known for known in self._operations if known[0].match(path) and key in known[2])
        found = next(matching, None)
        return None if found is None else (found[1], found[2][key])

    @functools.lru_cache(maxsize=128)  # noqa: B019, one description lives as long as the tests
    def _validator(self, template: str, method: str, part: str) -> jsonschema_rs.Validator:
        path = template.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
        pointer = f"/paths/{path}/{method.lower()}/{part}/content/application~1json/schema"
        return jsonschema_rs.Draft202012Validator({"$ref": f"{_BASE}#{pointer}"}, registry=self._registry)

    @functools.lru_cache(maxsize=128)  # noqa: B019, one description lives as long as the tests
    def _schema(self, name: str) -> jsonschema_rs.Validator:
        pointer = f"/components/schemas/{name}"
        return jsonschema_rs.Draft202012Validator({"$ref": f"{_BASE}#{pointer}"}, registry=self._registry)

    def _wrong(self, name: str, validator: jsonschema_rs.Validator, body: Any) -> str | None:
        error = next(validator.iter_errors(body), None)
        if error is None:
            return None
        error = _innermost(error)
        return f"{name}: at {'/'.join(map(str, error.instance_path)) or 'the top'}: {error.message[:300]}"


def _innermost(error: ValidationError) -> ValidationError:
    """Return what is wrong in the alternative that fits best, where a value fits none of several."""
    branches = [branch for branch in getattr(error.kind, "context", []) if branch]
    return _innermost(max(branches, key=lambda branch: len(branch[0].instance_path))[0]) if branches else error


@functools.cache
def description() -> Description:
    """Return Discord's description."""
    return Description(json.loads(lzma.decompress(_DESCRIPTION.read_bytes())))
