"""`LocalDiscord`: REST, gateway and uploaded files behind one port of 127.0.0.1."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aiohttp import web

from local_discord.access import only_from_here, with_page_headers
from local_discord.files import content_type
from local_discord.gateway import Gateway
from local_discord.people import People
from local_discord.rest import PREFIX, Rest
from local_discord.world import World

TOKEN = "local.token"  # noqa: S105, it opens nothing but this process


Page = Callable[["LocalDiscord"], list[web.RouteDef]]
_LARGEST_REQUEST = 26 * 2**20
"""Bytes: Discord takes 25 MiB, and the form around the files is counted here too."""


class LocalDiscord:
    """A Discord with one server. Start it, let a bot log in, and do as people do."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.rest = Rest(self.world, TOKEN)
        self.gateway = Gateway(self.world, TOKEN)
        self.people = People(self.world, self.rest.interactions)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @classmethod
    async def start(cls, folder: Path | None = None, port: int = 0, page: Page | None = None) -> Self:
        """Listen on 127.0.0.1.

        `folder` keeps what is said (None: nothing outlives it); `port` 0 is any free one; `page` makes the routes that
        only somebody with the secret address reaches. Raises OSError when the port is taken.
        """
        self = cls(folder or Path(tempfile.mkdtemp(prefix="local-discord-")))
        application = web.Application(client_max_size=_LARGEST_REQUEST, middlewares=[only_from_here])
        application.on_response_prepare.append(with_page_headers)
        application.add_routes([*self.rest.routes(), web.get("/gateway/", self.gateway.serve)])
        application.add_routes([web.get(f"/{server}/{{path:.+}}", self._file) for server in ("cdn", "media")])
        if page is not None:
            inner = web.Application(client_max_size=_LARGEST_REQUEST)
            inner.add_routes(page(self))
            application.add_subapp(f"/{self.world.secret}", inner)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.gateway.url = self.rest.account.gateway_url = f"ws://127.0.0.1:{self.port}/gateway/"
        self.world.files.base = f"http://127.0.0.1:{self.port}"
        return self

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self.people.close()
        self.gateway.drop()
        if self._runner is not None:
            await self._runner.cleanup()
        self.world.close()

    @property
    def api_base(self) -> str:
        """Return what a bot is given as `discord.api_base`."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def page_url(self) -> str:
        """Return the address of the page; the secret in it stays the same as long as the folder does."""
        return f"http://127.0.0.1:{self.port}/{self.world.secret}/"

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Hand out an uploaded file to whoever has its signed address."""
        path, query = request.match_info["path"], request.query
        if not self.world.files.admits(path, query.get("ex", ""), query.get("hm", "")):
            return web.Response(status=404, text="This content is no longer available.")
        if not (place := self.world.files.place(path)).is_file():
            return web.Response(status=404)
        return web.FileResponse(place, headers={"Content-Type": content_type(path) or "application/octet-stream"})
