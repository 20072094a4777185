"""What the page speaks with the server: one WebSocket per tab for what a person sees and does, and a door for files."""

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from local_discord import threads
from local_discord.errors import Refused
from local_discord.ids import Json
from local_discord.objects import User
from local_discord.server import LocalDiscord
from local_discord.world import Event

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_LONGEST_REQUEST = 2**20
"""Bytes of one request; files come by their own way."""
_UNSENT = 5000
"""Events that wait for a tab that does not read them, before it is cut off. It comes back, and reads all anew."""
_HEARTBEAT_SECONDS = 20.0

_SENTENCES = {
    50001: "You cannot see that channel.",
    50013: "You may not do that in this channel.",
    40005: "That file is too large for this channel.",
    50083: "This thread is archived or locked.",
    10008: "That message is not there any more.",
    10062: "That form is too old; open it again.",
}
"""What Discord says for people to some of its codes."""

_Act = Callable[[User, Json], Awaitable[Any]]


def routes(local: LocalDiscord) -> list[web.RouteDef]:
    """List the page's files, its socket and its uploads; the server mounts them behind its checks."""
    api = PeopleApi(local)
    files = [path for path in PAGE.iterdir() if path.suffix in _TYPES]
    return [
        web.get("/", _file(PAGE / "index.html")),
        *(web.get(f"/{path.name}", _file(path)) for path in files),
        web.get("/api/socket", api.socket),
        web.get("/api/limits", api.limits),
        web.post("/api/uploads", api.upload),
    ]


def _file(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8", "Cache-Control": "no-cache"}
        return web.FileResponse(path, headers=headers)

    return serve


class PeopleApi:
    """Let people in: each tab is one of them."""

    def __init__(self, local: LocalDiscord) -> None:
        self._local = local
        self.acts = _acts(local)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one tab until it goes."""
        websocket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_LONGEST_REQUEST)
        await websocket.prepare(request)
        await _Tab(self._local, self.acts, websocket).serve()
        return websocket

    async def limits(self, request: web.Request) -> web.StreamResponse:
        """Return how large a file may be; a page that gets no answer here has an address that is not known any more."""
        return web.json_response({"upload": self._limit})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a file of a person, to be named in what they do next."""
        if (request.content_length or 0) > self._limit:
            raise web.HTTPRequestEntityTooLarge(self._limit, request.content_length or 0)
        query, content = request.query, await request.read()
        person = _person(self._local, query.get("user"))
        try:
            uploaded = await self._local.people.upload(person, int(query["channel"]), query["name"], content)
        except Refused as no:
            return web.Response(status=no.status, text=_sentence(no))
        return web.json_response(uploaded)

    @property
    def _limit(self) -> int:
        return _limit(self._local)


class _Tab:
    """One open page: what its person asks for is done, and it is sent what that person may see."""

    def __init__(self, local: LocalDiscord, acts: dict[str, _Act], websocket: web.WebSocketResponse) -> None:
        self._local = local
        self._acts = acts
        self._websocket = websocket
        self._person: User | None = None
        self._unsent: asyncio.Queue[Json] = asyncio.Queue(_UNSENT)
        self._doing: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Read requests; each is done on its own, as some wait for the bot."""
        unsubscribe = self._local.world.subscribe(self._on_event)
        sender = asyncio.create_task(self._send())
        try:
            async for message in self._websocket:
                if message.type is WSMsgType.TEXT:
                    task = asyncio.create_task(self._answer(json.loads(message.data)))
                    self._doing.add(task)
                    task.add_done_callback(self._doing.discard)
        finally:
            unsubscribe()
            sender.cancel()

    async def _send(self) -> None:
        while True:
            try:
                await self._websocket.send_json(await self._unsent.get())
            except ConnectionError:  # the tab was closed
                return

    def _on_event(self, event: Event) -> None:
        people = self._local.people
        if self._person is not None and people.sees(self._person, event):
            seen = people.as_seen(self._person, event)
            self._put({"event": seen["t"], "data": seen["d"]})

    def _put(self, packet: Json) -> None:
        try:
            self._unsent.put_nowait(packet)
        except asyncio.QueueFull:
            if self._websocket._req is not None and self._websocket._req.transport is not None:
                self._websocket._req.transport.abort()

    async def _answer(self, request: Json) -> None:
        if request.get("do") == "enter":
            self._person = _person(self._local, request.get("user"))
            self._put({"event": "ENTERED", "data": _entered(self._local, self._person)})
            return
        if self._person is None:
            return
        try:
            answer = {"ok": await self._acts[request["do"]](self._person, request)}
        except Refused as no:
            answer = {"error": _sentence(no)}
        except Exception:
            log.exception("What the page asked for failed")
            answer = {"error": "That did not work; the program's log says why."}
        self._put({"re": request.get("id"), **answer})


def _sentence(no: Refused) -> str:
    return _SENTENCES.get(no.code) or str(no).removeprefix("Invalid Form Body: ")


def _person(local: LocalDiscord, user_id: str | None) -> User:
    """Return who a tab says it is; the first person where it does not say."""
    people = local.people.all()
    return next((person for person in people if str(person.id) == user_id), people[0])


def _limit(local: LocalDiscord) -> int:
    return max(local.world.upload_limit(channel) for channel in local.world.channels.values())


def _entered(local: LocalDiscord, person: User) -> Json:
    guild = local.world.guild_json()
    return {
        "me": person.json(),
        "people": [one.json() for one in local.people.all()],
        "bot": local.world.bot.json(),
        "guild": {"id": guild["id"], "name": guild["name"], "roles": guild["roles"]},
        "channels": local.people.channels(person),
        "upload_limit": _limit(local),
        "online": local.gateway.connected.is_set(),
    }


def _detail(name: str, value: Any) -> Any:
    """Return a detail of a request: ids as numbers, None for what is missing."""
    return int(value) if name.endswith("_id") and value is not None else value


def _acts(local: LocalDiscord) -> dict[str, _Act]:
    """Return what can be asked for, by name, with its details as Discord's own objects."""
    people = local.people

    def act(method: Callable[..., Any], *details: str) -> _Act:
        """Hand on the named details, in this order."""

        async def do(person: User, asked: Json) -> Any:
            result = method(person, *(_detail(name, asked.get(name)) for name in details))
            return await result if inspect.isawaitable(result) else result

        return do

    async def say(person: User, asked: Json) -> Any:
        uploads = [int(upload) for upload in asked["uploads"]]
        reply_to = _detail("message_id", asked.get("reply_to"))
        return await people.say(person, int(asked["channel_id"]), asked["content"], uploads, reply_to)

    async def start_thread(person: User, asked: Json) -> Any:
        channel = people.there(person, int(asked["channel_id"]))
        message_id = _detail("message_id", asked.get("message_id"))
        message = None if message_id is None else local.world.message(channel.id, message_id, person)
        private = bool(asked.get("private"))
        thread = threads.start(local.world, person, channel, asked["name"], private=private, message=message)
        return thread.json(person)

    async def change_thread(person: User, asked: Json) -> Any:
        thread = people.thread(person, int(asked["channel_id"]))
        threads.change(local.world, person, thread, archived=asked.get("archived"), locked=asked.get("locked"))

    async def add_to_thread(person: User, asked: Json) -> Any:
        other = local.world.user_by_id(int(asked["other_id"]))
        threads.add(local.world, people.thread(person, int(asked["channel_id"])), other)

    async def leave_thread(person: User, asked: Json) -> Any:
        threads.remove(local.world, people.thread(person, int(asked["channel_id"])), person)

    message = ("channel_id", "message_id")
    return {
        "channels": act(people.channels),
        "commands": act(people.commands, "channel_id"),
        "messages": act(people.messages, "channel_id", "before_id", "limit"),
        "typing": act(people.typing, "channel_id"),
        "say": say,
        "delete": act(people.delete, *message),
        "react": act(people.react, *message, "emoji"),
        "unreact": act(people.unreact, *message, "emoji"),
        "press": act(people.press, *message, "custom"),
        "select": act(people.select, *message, "custom", "values"),
        "command": act(people.command, "channel_id", "command_id", "options"),
        "autocomplete": act(people.autocomplete, "channel_id", "command_id", "options"),
        "menu": act(people.menu, "channel_id", "command_id", "message_id"),
        "submit": act(people.submit, "interaction_id", "values"),
        "dismiss": act(people.dismiss, "message_id"),
        "forward": act(people.forward, *message, "to_channel_id"),
        "start_thread": start_thread,
        "change_thread": change_thread,
        "add_to_thread": add_to_thread,
        "leave_thread": leave_thread,
    }
