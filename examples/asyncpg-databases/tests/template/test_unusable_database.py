"""The tests on a database that cannot be used: one sentence, as from every other command, and not one for each test."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.processes import Process, prepare
from tests.proxy import by_way_of, reserved_port
from tests.urls import replaced

prepare()

SECRET = "s3cret-password"
WRONG = ("a scheme", "no server", "no such user")


@pytest.mark.parametrize("fault", WRONG)
def test_the_tests_end_with_one_sentence(fault: str, settings: Settings, tmp_path: Path) -> None:
    if fault == "no such user" and settings.database.external_pooler:
        pytest.skip("a pooler lets in whom the server would refuse, or answers in words of its own")
    (tmp_path / "test_any.py").write_text("def test_any(settings: object) -> None:\n    pass\n" * 2)
    with reserved_port() as port:
        secret = SecretStr(replaced(settings.database.url.get_secret_value(), "userinfo", f"nobody-at-all:{SECRET}"))
        url, sentence = {
            "a scheme": (f"sqlite:///{SECRET}", "DATABASE_URL cannot be used: "),
            "no server": (
                by_way_of(secret, port).get_secret_value(),
                "The database server cannot be reached: 127.0.0.1:",
            ),
            "no such user": (secret.get_secret_value(), "The database server refuses the user, the password"),
        }[fault]
        environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
        arguments = ("-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.conftest", "test_any.py")
        with Process("pytest", *arguments, folder=tmp_path, environment=environment) as process:
            assert process.exit_code() == pytest.ExitCode.USAGE_ERROR, process.output
            (line,) = [line for line in process.output.splitlines() if line]
    assert line.startswith(f"ERROR: {sentence}")
    assert SECRET not in line
