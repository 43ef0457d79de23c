"""How pages are printed: templates, headers that keep a page to itself, and errors as pages."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.pages import wording
from api.pages.assets import version
from api.pages.visitor import SignedOut, Visitor
from core.figures import row_label

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the plot library writes style elements
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_log = logging.getLogger(__name__)
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= wording.FILTERS
_templates.globals["row_label"] = row_label


def page(request: Request, visitor: Visitor | None, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. `visitor` is whoever looks at it, if they are signed in."""
    root = request.scope.get("root_path", "")
    theme = request.cookies.get("sieve_theme", "")
    told = {
        "here": request.scope["path"].removeprefix(root),
        "query": request.url.query,
        "root": root,
        "static": f"{root}/static/{version()}",
        "theme": theme if theme in ("light", "dark") else "",
        "visitor": visitor,
        "form_token": visitor.form_token if visitor else "",
        "live": None,
    }
    return HTMLResponse(_templates.get_template(template).render({**told, **values}), status)


def part(template: str, **values: Any) -> str:
    """A part of a page that scripts ask for."""
    return _templates.get_template(template).render(values)


def away(request: Request, path: str) -> RedirectResponse:
    """To another page, after a form was sent."""
    return RedirectResponse(request.scope.get("root_path", "") + path, 303)


class Printed(APIRoute):
    """A route of a page: what goes wrong is said on a page, and every answer keeps to itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Around FastAPI's own handler."""
        answer = super().get_route_handler()

        async def printed(request: Request) -> Response:
            try:
                response = await answer(request)
            except SignedOut:
                response = _to_sign_in(request)
            except Exception as error:
                response = await _said(request, error)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return printed


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return Response("nobody is signed in", 401, media_type="text/plain")
    wanted = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    wanted += f"?{request.url.query}" if request.url.query else ""
    return away(request, f"/signin?next={quote(wanted, safe='')}" if wanted != "/" else "/signin")


async def _said(request: Request, error: Exception) -> Response:
    """The application's own handler makes a problem of an error (`api.problems`); here it becomes a page."""
    handlers = request.app.exception_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handler is None:
        raise error
    response: Response = handler(request, error)
    if inspect.isawaitable(response):
        response = await response
    if response.status_code == 500:
        _log.error("%s %s", request.method, request.scope["path"], exc_info=error)
    if "text/html" not in request.headers.get("accept", ""):
        return response
    problem = json.loads(bytes(response.body))
    shown = page(request, None, "problem.html.j2", status=response.status_code, problem=problem)
    if "retry-after" in response.headers:
        shown.headers["Retry-After"] = response.headers["retry-after"]
    return shown
