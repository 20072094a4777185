"""REST v10, as far as the bot uses it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local_discord.requests import Around, Call, Limited, Window, as_json, plainly, read
from local_discord.world import (
    Attachment,
    Channel,
    Fail,
    Interaction,
    Json,
    Message,
    World,
    pinged,
    snowflake,
    walk,
)

_V2 = 1 << 15
_FOREVER = 1_000_000
_ANSWERS = "answer"
PREFIX = "/api/v10"


class Rest:
    """Answer requests."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self.token = token
        self.gateway_url = self.cdn_url = ""
        self.around: Around = plainly
        self.answer_seconds = 3.0
        self.token_seconds = 900.0
        self.upload_limit = 10 * 2**20
        self.edits_per_5_seconds: int | None = None
        """What a channel's edits are limited to; None: not at all."""
        self._nonces: dict[str, tuple[float, Message]] = {}
        self._windows: dict[int, Window] = {}

    def routes(self) -> list[web.RouteDef]:
        """List every route; its name is what faults are aimed at."""
        channel, message = "/channels/{channel}/messages", "/channels/{channel}/messages/{message}"
        hook = r"/webhooks/{application}/{token}"
        table: list[tuple[str, str, str, Callable[[Call], Awaitable[Any]]]] = [
            ("GET", "/users/@me", "me", self._me),
            ("GET", "/oauth2/applications/@me", "application", self._application),
            ("GET", "/applications/@me", "application", self._application),
            ("GET", "/gateway", "gateway", self._gateway),
            ("GET", "/gateway/bot", "gateway", self._gateway),
            ("GET", "/applications/{application}/commands", "commands", self._commands),
            ("PUT", "/applications/{application}/commands", "sync", self._sync),
            ("POST", "/users/@me/channels", "direct", self._direct),
            ("GET", "/channels/{channel}", "channel", self._channel),
            ("GET", channel, "history", self._history),
            ("POST", channel, "send", self._send),
            ("GET", message, "message", self._message),
            ("PATCH", message, "edit", self._edit),
            ("DELETE", message, "delete", self._delete),
            ("PUT", message + "/reactions/{emoji}/@me", "react", self._react),
            ("POST", "/interactions/{interaction}/{token}/callback", _ANSWERS, self._answer),
            ("POST", hook, "followup", self._followup),
            ("GET", hook + "/messages/{which}", "original", self._original),
            ("PATCH", hook + "/messages/{which}", "original", self._edit_original),
            ("DELETE", hook + "/messages/{which}", "original", self._delete_original),
        ]
        cdn = web.get("/cdn/{path:.+}", self._download)
        return [cdn, *(web.route(m, PREFIX + path, self._served(name, do)) for m, path, name, do in table)]

    def _served(self, name: str, do: Callable[[Call], Awaitable[Any]]) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                call = await read(request, name)
            except ConnectionError:  # its sender was killed in the middle of it
                return web.Response(status=400)
            call.channel_id = self._channel_of(request)

            async def handle() -> web.StreamResponse:
                try:
                    if name not in (_ANSWERS, "followup", "original"):
                        self._authorise(request)
                    self._count(name, call)
                    result = await do(call)
                except Limited as no:
                    body = {"message": str(no), "retry_after": no.seconds, "global": False}
                    return as_json(body, status=429, headers=self._headers(name, call))
                except Fail as no:
                    return as_json(
                        {"code": no.code, "message": str(no)}, status=no.status, headers=self._headers(name, call)
                    )
                if result is None:
                    return web.Response(status=204, headers=self._headers(name, call))
                return as_json(result, headers=self._headers(name, call))

            return await self.around(call, handle)

        return serve

    def _channel_of(self, request: web.Request) -> int | None:
        if "channel" in request.match_info:
            return int(request.match_info["channel"])
        interaction = self._world.interactions.get(int(request.match_info.get("interaction", 0)))
        return None if interaction is None else interaction.channel.id

    def _authorise(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bot {self.token}":
            raise Fail(401, 0, "401: Unauthorized")

    def _count(self, name: str, call: Call) -> None:
        """Hold a channel's edits to the limit, if there is one."""
        if name != "edit" or self.edits_per_5_seconds is None:
            return
        window = self._window(call)
        if window.used >= self.edits_per_5_seconds:
            raise Limited(window.left)
        window.used += 1

    def _window(self, call: Call) -> "Window":
        """Return the channel's present five seconds; they begin with an edit."""
        channel = call.number("channel")
        if channel not in self._windows or self._windows[channel].left <= 0:
            self._windows[channel] = Window()
        return self._windows[channel]

    def _headers(self, name: str, call: Call) -> dict[str, str]:
        limit, left, after = _FOREVER, _FOREVER, 1.0
        if name == "edit" and self.edits_per_5_seconds is not None:
            window, limit = self._window(call), self.edits_per_5_seconds
            left, after = limit - window.used, window.left
        return {
            "Via": "1.1 google",
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": f"bucket-{name}",
        }

    # Logging in

    async def _me(self, call: Call) -> Json:
        return self._world.bot.json()

    async def _application(self, call: Call) -> Json:
        return {
            "id": str(self._world.application_id),
            "name": "painter",
            "icon": None,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": self._world.owner.json(),
            "team": None,
            "flags": 0,
            "rpc_origins": [],
        }

    async def _gateway(self, call: Call) -> Json:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 1}
        return {"url": self.gateway_url, "shards": 1, "session_start_limit": limit}

    async def _commands(self, call: Call) -> list[Json]:
        return self._world.commands

    async def _sync(self, call: Call) -> list[Json]:
        commands: Any = call.body
        self._world.syncs += 1
        self._world.commands = [
            {
                "id": str(snowflake()),
                "application_id": str(self._world.application_id),
                "version": "1",
                "default_member_permissions": None,
                "description": "",
                "type": 1,
                **command,
            }
            for command in commands
        ]
        return self._world.commands

    # Channels and messages

    async def _direct(self, call: Call) -> Json:
        return self._world.direct(self._world.users[int(call.body["recipient_id"])]).json()

    async def _channel(self, call: Call) -> Json:
        return self._world.channel(call.number("channel")).json()

    async def _history(self, call: Call) -> list[Json]:
        query = call.request.query
        limit = int(query.get("limit", "50"))
        there = self._world.in_channel(self._world.channel(call.number("channel")))
        if "after" in query:
            there = [message for message in there if message.id > int(query["after"])][:limit]
        if "before" in query:
            there = [message for message in there if message.id < int(query["before"])]
        return [message.json() for message in reversed(there[-limit:])]

    async def _message(self, call: Call) -> Json:
        return self._world.message(call.number("channel"), call.number("message")).json()

    async def _send(self, call: Call) -> Json:
        channel = self._world.channel(call.number("channel"))
        self._open(channel, by_writing=True)
        nonce = call.body.get("nonce")
        if nonce is not None and call.body.get("enforce_nonce"):
            sent, message = self._nonces.get(f"{channel.id}:{nonce}", (0.0, None))
            if message is not None and time.monotonic() - sent < 180:
                return message.json()
        message = Message(channel, self._world.bot, nonce=nonce, reference=self._reference(call.body, channel))
        self._fill(message, call.body, call.files)
        self._world.messages[message.id] = message
        if nonce is not None:
            self._nonces[f"{channel.id}:{nonce}"] = (time.monotonic(), message)
        return message.json()

    def forget_nonces(self) -> None:
        """Let a few minutes pass, after which a nonce does not count any more."""
        self._nonces.clear()

    def _reference(self, body: Json, channel: Channel) -> Json | None:
        reference = body.get("message_reference")
        if reference is None:
            return None
        try:
            self._world.message(channel.id, int(reference["message_id"]))
        except Fail:
            if reference.get("fail_if_not_exists", True):
                raise Fail(400, 50035, "Invalid Form Body: Unknown message") from None
            return None
        return {"type": 0, "message_id": str(reference["message_id"]), "channel_id": str(channel.id)}

    def _open(self, channel: Channel, *, by_writing: bool) -> None:
        """Refuse what an archived thread does not take."""
        if channel.archived and (channel.locked or not by_writing):
            raise Fail(400, 50083, "Thread is archived")
        channel.archived = False

    async def _edit(self, call: Call) -> Json:
        self._open(self._world.channel(call.number("channel")), by_writing=False)
        message = self._world.message(call.number("channel"), call.number("message"))
        self._fill(message, call.body, call.files)
        message.edits += 1
        message.edited = time.time()
        return message.json()

    async def _delete(self, call: Call) -> None:
        self._world.message(call.number("channel"), call.number("message")).deleted = True

    async def _react(self, call: Call) -> None:
        message = self._world.message(call.number("channel"), call.number("message"))
        users = message.reactions.setdefault(call.request.match_info["emoji"], [])
        if self._world.bot.id not in users:
            users.append(self._world.bot.id)

    def _fill(self, message: Message, body: Json, files: list[tuple[str, bytes]]) -> None:
        """Change a message as Discord would, or refuse as it would."""
        if sum(len(content) for _, content in files) > self.upload_limit:
            raise Fail(413, 40005, "Request entity too large")
        flags = body.get("flags") or message.flags
        components = message.components if body.get("components") is None else body["components"]
        content = message.content if "content" not in body else body["content"] or ""
        if flags & _V2 and (content or body.get("embeds")):
            raise Fail(400, 50035, "Invalid Form Body: content cannot be used with MessageFlags.IS_COMPONENTS_V2")
        if not flags & _V2 and any(part["type"] in range(9, 18) for part in components):
            raise Fail(400, 50035, "Invalid Form Body: components need MessageFlags.IS_COMPONENTS_V2")
        attachments = self._attached(message, body, files)
        if not (content or components or attachments):
            raise Fail(400, 50006, "Cannot send an empty message")
        named = {f"attachment://{attachment.filename}" for attachment in attachments}
        wanted = {part["media"]["url"] for item in walk(components) for part in item.get("items", ())}
        if missing := {url for url in wanted if url.startswith("attachment://")} - named:
            raise Fail(400, 50035, f"Invalid Form Body: no such attachment: {', '.join(missing)}")
        message.flags, message.components, message.content, message.attachments = (
            flags,
            components,
            content,
            attachments,
        )
        message.mentions = pinged(message.text, body.get("allowed_mentions"))

    def _attached(self, message: Message, body: Json, files: list[tuple[str, bytes]]) -> list[Attachment]:
        entries = body.get("attachments")
        listed = {int(entry["id"]): entry for entry in entries or ()}
        kept = [a for a in message.attachments if entries is None or a.id in listed]
        return kept + [
            self.store(filename, content, (listed.get(number) or {}).get("description"))
            for number, (filename, content) in enumerate(files)
        ]

    def store(self, filename: str, content: bytes, description: str | None = None) -> Attachment:
        """Put a file on the CDN."""
        number = snowflake()
        path = f"attachments/{number}/{filename}"
        self._world.uploads[path] = content
        return Attachment(filename, content, description, f"{self.cdn_url}/{path}", number)

    async def _download(self, request: web.Request) -> web.Response:
        content = self._world.uploads.get(request.match_info["path"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    # Interactions

    def _interaction(self, call: Call) -> Interaction:
        token = call.request.match_info["token"]
        found = next((i for i in self._world.interactions.values() if i.token == token), None)
        if found is None:
            raise Fail(404, 10015, "Unknown Webhook")
        if found.expired or time.monotonic() - found.created > self.token_seconds:
            raise Fail(401, 50027, "Invalid Webhook Token")
        return found

    async def _answer(self, call: Call) -> Json | None:
        interaction = self._world.interactions.get(call.number("interaction"))
        took = 0.0 if interaction is None else time.monotonic() - interaction.created
        if interaction is None or interaction.expired or took > self.answer_seconds:
            raise Fail(404, 10062, "Unknown interaction")
        if interaction.kind is not None:
            raise Fail(400, 40060, "Interaction has already been acknowledged.")
        interaction.kind, interaction.answered = call.body["type"], took
        data = call.body.get("data") or {}
        if interaction.kind == 4:
            interaction.response = self._say(interaction, data, call.files)
        elif interaction.kind == 5:
            interaction.response = Message(interaction.channel, self._world.bot, flags=data.get("flags", 0))
        elif interaction.kind == 7:
            message = self._world.messages[int(interaction.payload["message"]["id"])]
            self._fill(message, data, call.files)
            interaction.response = message
        elif interaction.kind == 8:
            interaction.choices = data["choices"]
        elif interaction.kind == 9:
            interaction.modal = data
        return self._receipt(interaction) if call.request.query.get("with_response") in ("true", "1", "True") else None

    def _receipt(self, interaction: Interaction) -> Json:
        receipt: Json = {"interaction": {"id": str(interaction.id), "type": interaction.payload["type"]}}
        if interaction.response is not None:
            message = interaction.response
            receipt["interaction"] |= {
                "response_message_id": str(message.id),
                "response_message_ephemeral": message.ephemeral,
                "response_message_loading": interaction.kind == 5,
            }
            receipt["resource"] = {"type": interaction.kind, "message": message.json()}
        return receipt

    def _say(self, interaction: Interaction, data: Json, files: list[tuple[str, bytes]]) -> Message:
        message = Message(interaction.channel, self._world.bot)
        self._fill(message, data, files)
        self._world.messages[message.id] = message
        return message

    async def _followup(self, call: Call) -> Json:
        interaction = self._interaction(call)
        message = self._say(interaction, call.body, call.files)
        interaction.followups.append(message)
        return message.json()

    def _own(self, call: Call) -> Message:
        interaction, which = self._interaction(call), call.request.match_info["which"]
        own = [*([interaction.response] if interaction.response else []), *interaction.followups]
        found = [m for m in own if not m.deleted and (which == "@original" or m.id == int(which))]
        if not found:
            raise Fail(404, 10008, "Unknown Message")
        return found[0]

    async def _original(self, call: Call) -> Json:
        return self._own(call).json()

    async def _edit_original(self, call: Call) -> Json:
        message = self._own(call)
        self._fill(message, call.body, call.files)
        self._world.messages[message.id] = message
        message.edits += 1
        return message.json()

    async def _delete_original(self, call: Call) -> None:
        self._own(call).deleted = True
