"""The gateway: sharded sessions that survive their websocket, as Discord's do (developers/events/gateway)."""

import asyncio
import contextlib
import json
import secrets
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from local_discord.ids import Json
from local_discord.objects import Thread
from local_discord.permissions import Permission
from local_discord.rest.messages import for_bot
from local_discord.world import Event, World

_DISPATCH, _HEARTBEAT, _IDENTIFY, _RESUME, _RECONNECT, _INVALID, _HELLO, _ACK = 0, 1, 2, 6, 7, 9, 10, 11
_KEPT = 5000
"""Events that a session can be given again when it resumes."""
_NETWORK_SECONDS = 0.05
"""An answer that is faster than a network takes discord.py to be an old one: it notes the sending afterwards."""
_GUILDS = 1
_INTENTS = {
    # by event: the intent on a server, the one in direct messages
    "GUILD_ROLE_CREATE": (_GUILDS, 0),
    "GUILD_ROLE_UPDATE": (_GUILDS, 0),
    "CHANNEL_CREATE": (_GUILDS, 0),
    "CHANNEL_UPDATE": (_GUILDS, 0),
    "CHANNEL_DELETE": (_GUILDS, 0),
    "THREAD_CREATE": (_GUILDS, 0),
    "THREAD_UPDATE": (_GUILDS, 0),
    "THREAD_MEMBER_UPDATE": (_GUILDS, 0),
    "THREAD_MEMBERS_UPDATE": (1 << 1, 0),
    "MESSAGE_CREATE": (1 << 9, 1 << 12),
    "MESSAGE_UPDATE": (1 << 9, 1 << 12),
    "MESSAGE_DELETE": (1 << 9, 1 << 12),
    "MESSAGE_REACTION_ADD": (1 << 10, 1 << 13),
    "MESSAGE_REACTION_REMOVE": (1 << 10, 1 << 13),
    "TYPING_START": (1 << 11, 1 << 14),
}


class _Socket:
    """One websocket, compressed as the client asked for; packets leave in the order they were posted."""

    def __init__(self, request: web.Request) -> None:
        self.websocket = web.WebSocketResponse(max_msg_size=0)
        self._request = request
        packed = request.query.get("compress") == "zlib-stream"
        self._zlib = zlib.compressobj() if packed else None
        self._posted: asyncio.Queue[Json] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.websocket.prepare(self._request)
        self._sender = asyncio.create_task(self._send())

    def post(self, packet: Json) -> None:
        self._posted.put_nowait(packet)

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionError):  # its client has just been killed
            while True:
                text = json.dumps(await self._posted.get())
                if self._zlib is None:
                    await self.websocket.send_str(text)
                else:
                    packed = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                    await self.websocket.send_bytes(packed)

    def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()

    def cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


@dataclass(eq=False)
class _Session:
    """What a client that identified is sent, in order, as one of `shards`."""

    id: str
    intents: int
    shard: int
    shards: int
    socket: _Socket | None = None
    sent: deque[Json] = field(default_factory=lambda: deque(maxlen=_KEPT))
    sequence: int = 0

    def say(self, event: str, data: Json) -> None:
        self.sequence += 1
        packet = {"op": _DISPATCH, "t": event, "s": self.sequence, "d": data}
        self.sent.append(packet)
        if self.socket is not None:
            self.socket.post(packet)

    def missed(self, after: int) -> list[Json] | None:
        """Return what was said after a sequence number; None when that is not kept any more."""
        if self.sent and self.sent[0]["s"] > after + 1:
            return None
        return [packet for packet in self.sent if packet["s"] > after]


class Gateway:
    """Speak to the one bot, in as many shards as it likes; count what it does."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self.token = token
        self._sessions: dict[int, _Session] = {}
        """By shard."""
        self._sockets: set[_Socket] = set()
        self.url = ""
        self.refusals = 0
        """How many of the next connections are refused."""
        self.identifies = self.resumes = self.refused = 0
        self.watch: Callable[[str, Json], None] = lambda event, data: None
        """Called with everything that a session is sent."""
        self.connected = asyncio.Event()
        """The bot has a session and a live websocket for every shard."""
        world.subscribe(self._on_event)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle one connection."""
        if self.refusals > 0:
            self.refusals -= 1
            self.refused += 1
            return web.Response(status=503)  # not a cut: aiohttp would ask again by itself
        socket = _Socket(request)
        await socket.open()
        self._sockets.add(socket)
        try:
            socket.post({"op": _HELLO, "d": {"heartbeat_interval": 41_250}, "s": None, "t": None})
            async for message in socket.websocket:
                if message.type is WSMsgType.TEXT:
                    await self._on_packet(socket, json.loads(message.data))
        finally:
            self._sockets.discard(socket)
            socket.close()
            self._forget(socket)
        return socket.websocket

    def _forget(self, socket: _Socket) -> None:
        for session in self._sessions.values():
            if session.socket is socket:
                session.socket = None
                self._note_connection()

    async def _on_packet(self, socket: _Socket, packet: Json) -> None:
        if packet["op"] == _HEARTBEAT:
            acknowledged: Json = {"op": _ACK, "d": None, "s": None, "t": None}
            asyncio.get_running_loop().call_later(_NETWORK_SECONDS, socket.post, acknowledged)
        elif packet["op"] == _IDENTIFY:
            await self._identify(socket, packet["d"])
        elif packet["op"] == _RESUME:
            self._resume(socket, packet["d"])

    async def _identify(self, socket: _Socket, data: Json) -> None:
        shard, shards = data.get("shard") or (0, 1)
        if data["token"] != self.token:
            await socket.websocket.close(code=4004)
            return
        if not 0 <= shard < shards:
            await socket.websocket.close(code=4010)
            return
        self.identifies += 1
        if any(session.shards != shards for session in self._sessions.values()):
            self._sessions.clear()
        session = self._sessions[shard] = _Session(secrets.token_hex(8), data["intents"], shard, shards)
        session.socket = socket
        guilds = [self._world.guild_json()] if self._shard_of(self._world.guild_id, shards) == shard else []
        ready = {
            "v": 10,
            "user": self._world.bot.json(),
            "guilds": [{"id": guild["id"], "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "application": {"id": str(self._world.application_id), "flags": 0},
            "private_channels": [],
            "shard": [shard, shards],
        }
        self._say(session, "READY", ready)
        for guild in guilds:
            self._say(session, "GUILD_CREATE", guild)
        self._note_connection()

    def _resume(self, socket: _Socket, data: Json) -> None:
        session = next((one for one in self._sessions.values() if one.id == data["session_id"]), None)
        missed = None if session is None else session.missed(data["seq"] or 0)
        if session is None or missed is None or data["token"] != self.token:
            socket.post({"op": _INVALID, "d": False, "s": None, "t": None})
            return
        self.resumes += 1
        for packet in missed:
            socket.post(packet)
        session.socket = socket
        session.say("RESUMED", {})
        self._note_connection()

    @staticmethod
    def _shard_of(guild_id: int | None, shards: int) -> int:
        """Return which shard has a server (developers/events/gateway, "Sharding"); the first has direct messages."""
        return 0 if guild_id is None else (guild_id >> 22) % shards

    def _on_event(self, event: Event) -> None:
        """Send the bot an event, now or when it resumes; without a session nobody gets it."""
        guild_id = event.guild_id if event.channel is None else event.channel.guild_id
        addressed = event.only_for == self._world.bot.id
        if (event.only_for is not None and not addressed) or not (data := self._for_bot(event)):
            return
        for session in self._sessions.values():
            if self._shard_of(guild_id, session.shards) == session.shard:
                intent = _INTENTS.get(event.name, (0, 0))[guild_id is None]
                if event.name == "INTERACTION_CREATE" or addressed or session.intents & intent:
                    self._say(session, event.name, data)

    def _say(self, session: _Session, event: str, data: Json) -> None:
        self.watch(event, data)
        session.say(event, data)

    def _for_bot(self, event: Event) -> Json | None:
        """Return what the bot is sent of an event; None if it may not have it."""
        if event.name == "INTERACTION_CREATE":
            return event.data
        if event.channel is None:
            return event.data if event.name in _INTENTS else None
        if event.name not in _INTENTS or Permission.VIEW_CHANNEL not in self._world.permissions(
            self._world.bot, event.channel
        ):
            return None
        if isinstance(event.channel, Thread) and event.name in ("THREAD_CREATE", "THREAD_UPDATE"):
            return event.data | event.channel.json(self._world.bot)
        if event.message is None or event.name not in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            return event.data
        data = for_bot(self._world, event.message)
        if event.channel.guild_id is not None:
            member = event.message.author.member()
            del member["user"]  # the message's author
            data |= {"guild_id": str(event.channel.guild_id), "member": member}
        return data

    def _note_connection(self) -> None:
        """Keep `connected` true to what is, and emit a change."""
        sessions = list(self._sessions.values())
        complete = bool(sessions) and len(sessions) == sessions[0].shards
        connected = complete and all(session.socket is not None for session in sessions)
        if connected is not self.connected.is_set():
            (self.connected.set if connected else self.connected.clear)()
            self._world.emit(Event("BOT_ONLINE" if connected else "BOT_OFFLINE", {}))

    def drop(self) -> None:
        """Cut every websocket; the sessions live on and can be resumed."""
        for socket in list(self._sockets):
            socket.cut()
        for session in self._sessions.values():
            session.socket = None
        self._note_connection()

    def ask_to_reconnect(self) -> None:
        """Send the RECONNECT opcode."""
        for session in self._sessions.values():
            if session.socket is not None:
                session.socket.post({"op": _RECONNECT, "d": None, "s": None, "t": None})

    def invalidate(self) -> None:
        """End the sessions: they cannot be resumed."""
        for session in self._sessions.values():
            if session.socket is not None:
                session.socket.post({"op": _INVALID, "d": False, "s": None, "t": None})
        self._sessions.clear()
        self._note_connection()
