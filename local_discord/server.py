"""`LocalDiscord`: REST and gateway behind one port of 127.0.0.1."""

from typing import Self

from aiohttp import web

from local_discord.gateway import Gateway
from local_discord.people import People
from local_discord.rest import PREFIX, Rest
from local_discord.world import World

TOKEN = "local.token"  # noqa: S105, it opens nothing but this process


class LocalDiscord:
    """A Discord with one guild. Start it, let a bot log in, and do as people do."""

    def __init__(self) -> None:
        self.world = World()
        self.gateway = Gateway(self.world, TOKEN)
        self.rest = Rest(self.world, TOKEN)
        self.people = People(self.world, self.gateway, self.rest)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @classmethod
    async def start(cls) -> Self:
        """Listen on a free port of 127.0.0.1."""
        self = cls()
        application = web.Application(client_max_size=2**28)
        application.add_routes([*self.rest.routes(), web.get("/gateway/", self.gateway.serve)])
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.gateway.url = self.rest.gateway_url = f"ws://127.0.0.1:{self.port}/gateway/"
        self.rest.cdn_url = f"http://127.0.0.1:{self.port}/cdn"
        return self

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self.gateway.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def api_base(self) -> str:
        """Return what a bot is given as `discord.api_base`."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"
