"""FastAPI's TestClient, for tests that are no coroutines: it starts the service, and asks it without a warning."""

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings


def test_the_test_client_starts_the_service_and_asks_it(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        assert client.get("/health/ready").json()["status"] == "ready"
        assert client.get("/nowhere").headers["Content-Type"] == "application/problem+json"
