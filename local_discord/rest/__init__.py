"""REST v10, as far as a bot of this kind uses it."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local_discord.errors import RateLimited, Refused, invalid
from local_discord.rest.account import AccountRoutes
from local_discord.rest.interactions import InteractionRoutes
from local_discord.rest.limits import Limits
from local_discord.rest.messages import MessageRoutes
from local_discord.rest.requests import Around, Call, as_json, plainly, read
from local_discord.world import World

PREFIX = "/api/v10"
_BY_TOKEN = ("answer", "followup", "original")
"""Routes whose address holds the token that authorises."""
_Do = Callable[[Call], Awaitable[Any]]


class Rest:
    """Answer requests as Discord does."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self.token = token
        self.account = AccountRoutes(world)
        self.messages = MessageRoutes(world)
        self.interactions = InteractionRoutes(world)
        self.limits = Limits()
        self.around: Around = plainly

    def routes(self) -> list[web.RouteDef]:
        """List every route; `around` gets its name."""
        account, messages, interactions = self.account, self.messages, self.interactions
        channel, message = "/channels/{channel}/messages", "/channels/{channel}/messages/{message}"
        hook, commands = r"/webhooks/{application}/{token}", "/applications/{application}/commands"
        guild_commands = "/applications/{application}/guilds/{guild}/commands"
        table: list[tuple[str, str, str, _Do]] = [
            ("GET", "/users/@me", "me", account.me),
            ("GET", "/oauth2/applications/@me", "application", account.application),
            ("GET", "/applications/@me", "application", account.application),
            ("GET", "/gateway", "gateway", account.gateway),
            ("GET", "/gateway/bot", "gateway", account.gateway),
            ("GET", "/users/{user}", "user", account.user),
            ("GET", "/guilds/{guild}", "guild", account.guild),
            ("GET", "/guilds/{guild}/members/{user}", "member", account.member),
            ("GET", commands, "commands", account.commands),
            ("PUT", commands, "sync", account.sync),
            ("GET", guild_commands, "commands", account.commands),
            ("PUT", guild_commands, "sync", account.sync),
            ("POST", "/users/@me/channels", "direct", messages.direct),
            ("GET", "/channels/{channel}", "channel", messages.channel),
            ("POST", "/channels/{channel}/typing", "typing", messages.typing),
            ("PUT", "/channels/{channel}/thread-members/@me", "join", messages.join),
            ("GET", "/channels/{channel}/thread-members/{user}", "thread_member", messages.thread_member),
            ("GET", channel, "history", messages.history),
            ("POST", channel, "send", messages.send),
            ("GET", message, "message", messages.message),
            ("PATCH", message, "edit", messages.edit),
            ("DELETE", message, "delete", messages.delete),
            ("PUT", message + "/reactions/{emoji}/@me", "react", messages.react),
            ("DELETE", message + "/reactions/{emoji}/{who}", "unreact", messages.unreact),
            ("POST", "/interactions/{interaction}/{token}/callback", "answer", interactions.answer),
            ("POST", hook, "followup", interactions.followup),
            ("GET", hook + "/messages/{which}", "original", interactions.original),
            ("PATCH", hook + "/messages/{which}", "original", interactions.edit_original),
            ("DELETE", hook + "/messages/{which}", "original", interactions.delete_original),
        ]
        return [web.route(method, PREFIX + path, self._served(name, do)) for method, path, name, do in table]

    def _served(self, name: str, do: _Do) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                call = await read(request, name)
            except ConnectionError:  # its sender was killed in the middle of it
                return web.Response(status=400)
            except ValueError:
                return as_json({"code": 50109, "message": "The request body contains invalid JSON."}, status=400)
            call.channel_id = self._channel_of(request)

            async def handle() -> web.StreamResponse:
                return await self._answer(call, do)

            return await self.around(call, handle)

        return serve

    async def _answer(self, call: Call, do: _Do) -> web.StreamResponse:
        limits, name, channel = self.limits, call.name, call.channel_id
        try:
            self._authorise(call)
            limits.take(name, channel)
            result = await _checked(do, call)
        except RateLimited as no:
            body = {"message": str(no), "retry_after": round(no.seconds, 3), "global": False}
            return as_json(body, status=429, headers=limits.headers(name, channel, refused=True))
        except Refused as no:
            body = {"code": no.code, "message": str(no)}
            return as_json(body, status=no.status, headers=limits.headers(name, channel))
        if result is None:
            return web.Response(status=204, headers=limits.headers(name, channel))
        return as_json(result, headers=limits.headers(name, channel))

    def _authorise(self, call: Call) -> None:
        if call.name not in _BY_TOKEN and call.request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refused(401, 0, "401: Unauthorized")

    def _channel_of(self, request: web.Request) -> int | None:
        if "channel" in request.match_info:
            return int(request.match_info["channel"])
        interaction = self._world.interactions.get(int(request.match_info.get("interaction", 0)))
        return None if interaction is None else interaction.channel.id


async def _checked(do: _Do, call: Call) -> Any:
    """Handle a request; a body that lacks something is refused."""
    try:
        return await do(call)
    except KeyError as error:
        raise invalid(f"{error} is required") from error
