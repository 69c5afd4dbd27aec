"""/docs works without the internet, wherever the service is mounted, and can be switched off."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient

from app.api_docs import PARTS
from app.main import create_app
from app.settings import Settings

PATHS = ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", *(f"/docs/{part}" for part in sorted(PARTS))]


def asking(settings: Settings, root_path: str = "") -> AsyncClient:
    transport = ASGITransport(app=create_app(settings), root_path=root_path)
    return AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
async def docs(settings: Settings) -> AsyncIterator[AsyncClient]:
    async with asking(settings) as client:
        yield client


async def test_all_that_the_page_loads_is_served_by_the_service_itself(docs: AsyncClient) -> None:
    types = {}
    for path in ("/docs", "/redoc"):
        page = await docs.get(path)
        for address in re.findall(r"""(?:src|href|spec-url|url)(?:="|: ')([^"']+)["']""", page.text):
            response = await docs.get(page.url.join(address))
            assert (response.status_code, response.url.host) == (200, "test"), address
            types[address] = response.headers["Content-Type"].partition(";")[0]
        assert "https://" not in page.text, "nothing comes from elsewhere"
    assert types == {"openapi.json": "application/json", **{f"docs/{part}": type for part, type in PARTS.items()}}


async def test_no_other_file_is_served(docs: AsyncClient) -> None:
    for path in ("/docs/other.js", "/docs/%2e%2e%2f__init__.py", "/docs/..", "/docs/"):
        assert (await docs.get(path)).status_code in (307, 404)


async def test_a_proxy_may_mount_the_service_below_a_prefix(settings: Settings) -> None:
    async with asking(settings, "/prefix") as client:
        page = await client.get("/prefix/docs")
        assert page.url.join("docs/swagger-ui.css").path == "/prefix/docs/swagger-ui.css"
        assert "'/prefix/docs/oauth2-redirect'" in page.text
        assert (await client.get("/prefix/openapi.json")).json()["servers"] == [{"url": "/prefix"}]


@pytest.mark.parametrize("path", PATHS)
async def test_a_setting_switches_all_of_it_off(settings: Settings, docs: AsyncClient, path: str) -> None:
    assert (await docs.get(path)).status_code == 200
    async with asking(settings.model_copy(update={"api_docs": False})) as client:
        response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_browser_loads_the_parts_once(docs: AsyncClient) -> None:
    for part in PARTS:
        first = await docs.get(f"/docs/{part}")
        again = await docs.get(f"/docs/{part}", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
