"""The bot's own account, its commands, and the server it is on."""

from typing import Any

from local_discord.errors import invalid, unknown
from local_discord.ids import Json, snowflake
from local_discord.rest.requests import Call
from local_discord.world import World

_MOST_COMMANDS = 100


class AccountRoutes:
    """The handlers of what a bot asks for when it starts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.gateway_url = ""
        self.shards = 1
        """How many shards are recommended."""

    async def me(self, call: Call) -> Json:
        """Return the bot."""
        return self._world.bot.json() | {"mfa_enabled": False, "locale": "en-US"}

    async def application(self, call: Call) -> Json:
        """Return the bot's application."""
        return {
            "id": str(self._world.application_id),
            "name": self._world.bot.name,
            "icon": None,
            "description": "",
            "type": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": self._world.owner.json(),
            "team": None,
            "flags": 0,
            "flags_new": "0",
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "approximate_guild_count": 1,
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "eligible_oauth2_scopes": [],
            "rpc_origins": [],
        }

    async def gateway(self, call: Call) -> Json:
        """Say where the gateway is."""
        limit = {"total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 1}
        return {"url": self.gateway_url, "shards": self.shards, "session_start_limit": limit}

    async def user(self, call: Call) -> Json:
        """Return somebody."""
        return self._world.user_by_id(call.number("user")).json()

    async def guild(self, call: Call) -> Json:
        """Return the server."""
        self._check_guild(call)
        return self._world.guild_json()

    async def member(self, call: Call) -> Json:
        """Return a member of the server."""
        self._check_guild(call)
        return self._world.user_by_id(call.number("user")).member()

    async def commands(self, call: Call) -> list[Json]:
        """List the commands, in all servers or in this one."""
        return [command for command in self._world.commands if command.get("guild_id") == self._scope(call)]

    async def sync(self, call: Call) -> list[Json]:
        """Replace the commands of all servers, or of this one."""
        scope, given = self._scope(call), call.body
        chat = [command["name"] for command in given if command.get("type", 1) == 1]
        if len(chat) > _MOST_COMMANDS or len(set(chat)) < len(chat):
            raise invalid(f"at most {_MOST_COMMANDS} commands, each with a name of its own")
        others = [command for command in self._world.commands if command.get("guild_id") != scope]
        own = [self._command(command, scope) for command in given]
        self._world.replace_commands(others + own)
        return own

    def _command(self, command: Json, scope: str | None) -> Json:
        """Complete a command; one that was there already keeps its id."""
        kind = command.get("type", 1)
        named = [known for known in self._world.commands if (known["name"], known["type"]) == (command["name"], kind)]
        known = next((one for one in named if one.get("guild_id") == scope), None)
        defaults: dict[str, Any] = {
            "default_member_permissions": None,
            "description": "",
            "nsfw": False,
            "contexts": None,
        }
        given = {name: value for name, value in command.items() if value is not None}
        data = {
            **defaults,
            **given,
            "id": known["id"] if known else str(snowflake()),
            "application_id": str(self._world.application_id),
            "version": str(snowflake()),
            "type": kind,
        }
        if (needed := data["default_member_permissions"]) is not None:
            data["default_member_permissions"] = str(needed)
        return data if scope is None else data | {"guild_id": scope}

    def _scope(self, call: Call) -> str | None:
        if "guild" not in call.request.match_info:
            return None
        self._check_guild(call)
        return call.request.match_info["guild"]

    def _check_guild(self, call: Call) -> None:
        if call.number("guild") != self._world.guild_id:
            raise unknown(10004, "Guild")
