"""The gateway: sessions that survive their websocket, as Discord's do."""

import asyncio
import contextlib
import json
import secrets
import zlib
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from local_discord.world import Json, World

_DISPATCH, _HEARTBEAT, _IDENTIFY, _RESUME, _RECONNECT, _INVALID, _HELLO, _ACK = 0, 1, 2, 6, 7, 9, 10, 11


class _Socket:
    """One websocket, compressed as the client asked for."""

    def __init__(self, request: web.Request) -> None:
        self.websocket = web.WebSocketResponse(max_msg_size=0)
        self._request = request
        packed = request.query.get("compress") == "zlib-stream"
        self._zlib = zlib.compressobj() if packed else None

    async def open(self) -> None:
        await self.websocket.prepare(self._request)

    async def send(self, packet: Json) -> None:
        text = json.dumps(packet)
        if self.websocket.closed:
            return
        with contextlib.suppress(ConnectionError):  # its client has just been killed
            if self._zlib is None:
                await self.websocket.send_str(text)
            else:
                packed = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                await self.websocket.send_bytes(packed)

    def cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


@dataclass(eq=False)
class _Session:
    id: str
    intents: int
    socket: _Socket | None
    sent: list[Json] = field(default_factory=list)
    valid: bool = True


class Gateway:
    """Speak to the one bot; count what it does."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self.token = token
        self._session: _Session | None = None
        self._sockets: set[_Socket] = set()
        self.url = ""
        self.refusals = 0
        """How many of the next connections are refused."""
        self.identifies = self.resumes = self.refused = 0
        self.connected = asyncio.Event()
        """The bot has a session and a live websocket."""

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
            await socket.send({"op": _HELLO, "d": {"heartbeat_interval": 41_250}, "s": None, "t": None})
            async for message in socket.websocket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(socket, json.loads(message.data))
        finally:
            self._sockets.discard(socket)
            if self._session is not None and self._session.socket is socket:
                self._session.socket = None
                self.connected.clear()
        return socket.websocket

    async def _hear(self, socket: _Socket, packet: Json) -> None:
        if packet["op"] == _HEARTBEAT:
            await socket.send({"op": _ACK, "d": None, "s": None, "t": None})
        elif packet["op"] == _IDENTIFY:
            await self._identify(socket, packet["d"])
        elif packet["op"] == _RESUME:
            await self._resume(socket, packet["d"])

    async def _identify(self, socket: _Socket, data: Json) -> None:
        if data["token"] != self.token:
            await socket.websocket.close(code=4004)
            return
        self.identifies += 1
        session = self._session = _Session(secrets.token_hex(8), data["intents"], None)
        guild = self._world.guild_json()
        ready = {
            "v": 10,
            "user": self._world.bot.json(),
            "guilds": [{"id": guild["id"], "unavailable": True}],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "application": {"id": str(self._world.application_id), "flags": 0},
            "private_channels": [],
        }
        await self._say(session, socket, "READY", ready)
        await self._say(session, socket, "GUILD_CREATE", guild)
        session.socket = socket
        self.connected.set()

    async def _resume(self, socket: _Socket, data: Json) -> None:
        session = self._session
        if session is None or not session.valid or session.id != data["session_id"]:
            await socket.send({"op": _INVALID, "d": False, "s": None, "t": None})
            return
        self.resumes += 1
        for packet in session.sent[data["seq"] or 0 :]:
            await socket.send(packet)
        session.socket = socket
        await self._say(session, socket, "RESUMED", {})
        self.connected.set()

    async def _say(self, session: _Session, socket: _Socket | None, event: str, data: Json) -> None:
        packet = {"op": _DISPATCH, "t": event, "s": len(session.sent) + 1, "d": data}
        session.sent.append(packet)
        if socket is not None:
            await socket.send(packet)

    async def dispatch(self, event: str, data: Json, intent: int = 0) -> None:
        """Tell the bot of an event, now or when it resumes; without a session nobody hears it."""
        session = self._session
        if session is None or not session.valid or (intent and not session.intents & intent):
            return
        await self._say(session, session.socket, event, data)

    def drop(self) -> None:
        """Cut the websocket; the session lives on and can be resumed."""
        for socket in list(self._sockets):
            socket.cut()
        if self._session is not None:
            self._session.socket = None
        self.connected.clear()

    async def ask_to_reconnect(self) -> None:
        """Send the RECONNECT opcode."""
        if self._session is not None and self._session.socket is not None:
            self.connected.clear()
            await self._session.socket.send({"op": _RECONNECT, "d": None, "s": None, "t": None})

    async def invalidate(self) -> None:
        """End the session: it cannot be resumed."""
        session = self._session
        if session is not None:
            session.valid = False
            self.connected.clear()
            if session.socket is not None:
                await session.socket.send({"op": _INVALID, "d": False, "s": None, "t": None})
