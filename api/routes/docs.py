"""The interface, to read and to try in a browser: Swagger UI, served from here, with nothing from outside."""

from __future__ import annotations

import secrets
from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

router = APIRouter(include_in_schema=False)

_KEPT = {"Cache-Control": "public, max-age=86400"}


@router.get("/docs")
def show_docs(request: Request) -> HTMLResponse:
    """The page. Its one script of its own is let through by a nonce."""
    prefix = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{prefix}/openapi.json",
        title="Feature Sieve: the interface",
        swagger_js_url=f"{prefix}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{prefix}/docs/swagger-ui.css",
        swagger_favicon_url=f"{prefix}/docs/favicon.png",
        swagger_ui_parameters={"persistAuthorization": False, "tryItOutEnabled": True, "validatorUrl": None},
    )
    nonce = secrets.token_urlsafe(16)
    text = bytes(page.body).decode().replace("<script>", f'<script nonce="{nonce}">')
    policy = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@router.get("/docs/{name}")
def show_docs_file(name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> Response:
    """What the page is made of."""
    return FileResponse(str(files("fastapi_offline") / "static" / name), headers=_KEPT)
