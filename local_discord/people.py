"""What people do: each act becomes what Discord would tell the bot of it."""

import secrets
from collections.abc import Sequence
from typing import Any

from local_discord.gateway import Gateway
from local_discord.rest import Rest
from local_discord.world import EVERYTHING, Channel, Interaction, Json, Message, User, World, snowflake

_GUILD_REACTIONS, _DIRECT_REACTIONS = 1 << 10, 1 << 13
_OPTION_TYPES: dict[int, type | tuple[type, ...]] = {3: str, 4: int, 5: bool, 10: (int, float)}
_SUBCOMMAND, _ATTACHMENT = 1, 11


class People:
    """Everything that a person can do."""

    def __init__(self, world: World, gateway: Gateway, rest: Rest) -> None:
        self._world = world
        self._gateway = gateway
        self._rest = rest

    async def slash(self, user: User, channel: Channel, command: str, **options: Any) -> Interaction:
        """Type a command, such as "imagine" or "admin pause"; an attachment is given as (name, bytes)."""
        data = self._command(command.split(), options)
        interaction = self._interaction(2, user, channel, data)
        await self.again(interaction)
        return interaction

    async def press(self, user: User, message: Message, custom_id: str) -> Interaction:
        """Press a button; `custom_id` may be only its beginning."""
        custom_id = next(own for own in message.buttons if own.startswith(custom_id))
        data = {"custom_id": custom_id, "component_type": 2, "id": 1}
        interaction = self._interaction(3, user, message.channel, data)
        interaction.payload["message"] = message.json()
        await self.again(interaction)
        return interaction

    async def submit(self, user: User, form: Interaction, *values: str) -> Interaction:
        """Fill in the text fields of a form that the bot has shown, and send it."""
        assert form.modal is not None
        texts = iter(values)
        rows = [
            {"type": 18, "id": row, "component": {**_ids(label["component"]), "id": 100 + row, "value": next(texts)}}
            for row, label in enumerate(form.modal["components"], start=1)
        ]
        data = {"custom_id": form.modal["custom_id"], "components": rows}
        interaction = self._interaction(5, user, form.channel, data)
        await self.again(interaction)
        return interaction

    async def react(self, user: User, message: Message, emoji: str) -> None:
        """Add a reaction."""
        message.reactions.setdefault(emoji, []).append(user.id)
        guild = message.channel.guild_id
        event: Json = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "message_author_id": str(message.author.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if guild is not None:
            event |= {"guild_id": str(guild), "member": user.member()}
        await self._gateway.dispatch(
            "MESSAGE_REACTION_ADD", event, _DIRECT_REACTIONS if guild is None else _GUILD_REACTIONS
        )

    async def again(self, interaction: Interaction) -> None:
        """Send an interaction to the bot; a second time it is the same one once more."""
        await self._gateway.dispatch("INTERACTION_CREATE", interaction.payload)

    def _interaction(self, kind: int, user: User, channel: Channel, data: Json) -> Interaction:
        payload: Json = {
            "id": str(snowflake()),
            "application_id": str(self._world.application_id),
            "type": kind,
            "data": data,
            "channel": channel.json(),
            "channel_id": str(channel.id),
            "token": secrets.token_hex(16),
            "version": 1,
            "app_permissions": EVERYTHING,
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(channel.guild_id or 0)},
            "context": 1 if channel.guild_id is None else 0,
            "attachment_size_limit": self._rest.upload_limit,
        }
        if channel.guild_id is None:
            payload["user"] = user.json()
        else:
            guild = {"id": str(channel.guild_id), "locale": "en-US", "features": []}
            payload |= {"guild_id": str(channel.guild_id), "guild_locale": "en-US", "guild": guild}
            payload["member"] = user.member() | {"permissions": "0" if user.id != self._world.owner.id else EVERYTHING}
        interaction = Interaction(payload, channel, payload["token"])
        self._world.interactions[interaction.id] = interaction
        return interaction

    def _command(self, words: Sequence[str], options: dict[str, Any]) -> Json:
        """Build the data of a command as a client would, which knows only what the bot has registered."""
        command = next((c for c in self._world.commands if c["name"] == words[0] and c["type"] == 1), None)
        assert command is not None, f"no command /{words[0]}; there are {[c['name'] for c in self._world.commands]}"
        resolved: Json = {"attachments": {}}
        level, path = command, []
        for word in words[1:]:
            level = next(part for part in level["options"] if part["name"] == word)
            path.append(level)
        filled = self._options(level, options, resolved)
        for part in reversed(path):
            filled = [{"name": part["name"], "type": part["type"], "options": filled}]
        return {"id": command["id"], "name": command["name"], "type": 1, "options": filled, "resolved": resolved}

    def _options(self, level: Json, options: dict[str, Any], resolved: Json) -> list[Json]:
        known = {option["name"]: option for option in level.get("options", ()) if option["type"] > _SUBCOMMAND + 1}
        assert options.keys() <= known.keys(), f"there are only {list(known)}"
        missing = [name for name, option in known.items() if option.get("required") and name not in options]
        assert not missing, f"{missing} must be given"
        filled = []
        for name, value in options.items():
            kind = known[name]["type"]
            if kind == _ATTACHMENT:
                attachment = self._rest.store(*value)
                resolved["attachments"][str(attachment.id)] = attachment.json()
                value = str(attachment.id)  # noqa: PLW2901
            else:
                assert isinstance(value, _OPTION_TYPES.get(kind, str)), f"{name} takes another type than {value!r}"
            filled.append({"name": name, "type": kind, "value": value})
        return filled


def _ids(component: Json) -> Json:
    return {"type": component["type"], "custom_id": component["custom_id"]}
