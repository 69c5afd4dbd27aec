"""`/docs` and `/redoc`, of parts that an installed package brings, so that they work without the internet.

`API_DOCS=false` switches them off, and `/openapi.json` with them. Addresses in the pages are relative, wherever a proxy
mounts the service.
"""

import os
from importlib.resources import files

from fastapi import FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

PARTS = {  # guessing the types would read the system's files, and block the event loop
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}

_folder = files("fastapi_offline") / "static"
_not_modified = StaticFiles().is_not_modified


def add_api_docs(app: FastAPI) -> None:
    for path, answer in {
        "/openapi.json": _document,
        "/docs": _swagger_ui,
        "/redoc": _redoc,
        "/docs/oauth2-redirect": _redirect,
        "/docs/{part}": _part,
    }.items():
        app.add_route(path, answer, include_in_schema=False)


async def _document(request: Request) -> Response:
    _ask_settings(request)
    document = await run_in_threadpool(request.app.openapi)  # made once, which takes its time and looks at files
    if prefix := _prefix(request):
        document = {**document, "servers": [{"url": prefix}, *document.get("servers", [])]}
    return JSONResponse(document)


async def _swagger_ui(request: Request) -> Response:
    _ask_settings(request)
    app: FastAPI = request.app
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=app.title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        oauth2_redirect_url=f"{_prefix(request)}/docs/oauth2-redirect",  # of the origin, says Swagger UI
        init_oauth=app.swagger_ui_init_oauth,
        swagger_ui_parameters=app.swagger_ui_parameters,
    )


async def _redoc(request: Request) -> Response:
    _ask_settings(request)
    return get_redoc_html(
        openapi_url="openapi.json",
        title=request.app.title,
        redoc_js_url="docs/redoc.standalone.js",
        redoc_favicon_url="docs/favicon.png",
        with_google_fonts=False,
    )


async def _redirect(request: Request) -> Response:
    _ask_settings(request)
    return get_swagger_ui_oauth2_redirect_html()


async def _part(request: Request) -> Response:
    _ask_settings(request)
    part: str = request.path_params["part"]
    if part not in PARTS:
        raise HTTPException(404)
    # A range that the part does not have would be refused in plain text; a server may leave any of them out.
    request.scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    file = str(_folder / part)
    response = FileResponse(file, media_type=PARTS[part], stat_result=await run_in_threadpool(os.stat, file))
    if _not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    return response


def _ask_settings(request: Request) -> None:
    if not request.app.state.settings.api_docs:
        raise HTTPException(404)


def _prefix(request: Request) -> str:
    prefix: str = request.scope.get("root_path", "")
    return prefix.rstrip("/")
