"""Who may speak to this server: programs of this machine, and pages that it handed out itself."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

_NAMES = {"127.0.0.1", "localhost", "::1"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@web.middleware
async def only_from_here(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other sites: a name that was made to point here (Host), and requests that their pages send (Origin).

    A page of another site knows neither the secret in the page's address nor the bot's token; this holds also where
    one of them leaked.
    """
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    if urlsplit(f"//{host}").hostname not in _NAMES:
        return web.Response(status=421, text="This server answers to 127.0.0.1 and localhost only.\n")
    if origin is not None and origin != f"http://{host}":
        return web.Response(status=403, text="Other sites may not use this server.\n")
    return await handler(request)


async def with_page_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add to an answer what keeps a page from running or loading anything but its own files."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
