"""Settings: each has its variable, what cannot be used is said in one sentence, and no secret ever shows."""

import asyncio
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import AliasChoices, BaseModel, Field, ValidationError
from pydantic_settings import SettingsConfigDict

from app import extensions
from app.database import driver
from app.settings import DatabaseSettings, InvalidSettings, Settings, load_settings
from dev import databases
from tests.processes import of_the_team

PASSWORD = "p@ss/w#rd%:?"
ESCAPED = quote(PASSWORD, safe="")
OTHERS = ("WEB_CONCURRENCY", "SHUTDOWN_DELAY", "MAX_BODY_SIZE", "MAX_HEADER_FIELDS")
URL = f"{driver.SCHEMES[0]}://ada:{ESCAPED}@host/orders"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with DATABASE_URL and nothing else of ours, in a folder without `.env`."""
    for name in (*OTHERS, *(f"DATABASE_{field}".upper() for field in DatabaseSettings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


OVERRIDES = {
    "POOL_SIZE": ("77", 77),
    "MAX_OVERFLOW": ("0", 0),
    "POOL_TIMEOUT": ("0.25", 0.25),
    "POOL_RECYCLE": ("-1", -1),
    "EXTERNAL_POOLER": ("true", True),
    "POOL_PRE_PING": ("false", False),
    "CONNECT_TIMEOUT": ("1.5", 1.5),
    "STATEMENT_TIMEOUT": ("2.5", 2.5),
    "TRANSACTION_TIMEOUT": ("3.5", 3.5),
    "STARTUP_TIMEOUT": ("0", 0.0),
    "ISOLATION_LEVEL": ("SERIALIZABLE", "SERIALIZABLE"),
    "REPLICA_FALLBACK": ("true", True),
    "REPLICA_MAX_LAG": ("1.5", 1.5),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_variable_overrides_its_default(name: str, environment: pytest.MonkeyPatch) -> None:
    text, value = OVERRIDES[name]
    environment.setenv(f"DATABASE_{name}", text)
    assert getattr(load_settings().database, name.lower()) == value


def test_each_setting_has_a_variable_that_is_tested_here() -> None:
    others = {"url", "replica_url", "password_file", "replica_read_your_writes"}
    assert {name.lower() for name in OVERRIDES} | others == set(DatabaseSettings.model_fields)


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_switch_goes_both_ways(value: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_POOL_PRE_PING", value)
    environment.setenv("DATABASE_EXTERNAL_POOLER", value)
    database = load_settings().database
    assert (database.pool_pre_ping, database.external_pooler) == (value == "true", value == "true")


def test_the_urls_of_primary_and_replica_become_targets(environment: pytest.MonkeyPatch) -> None:
    assert load_settings().database.replica_target is None
    environment.setenv("DATABASE_REPLICA_URL", URL.replace("@host", "@replica"))
    database = load_settings().database
    assert database.target.hosts == (("host", driver.PORT),)
    assert database.replica_target is not None
    assert database.replica_target.hosts == (("replica", driver.PORT),)
    assert database.target.password == database.replica_target.password == PASSWORD


def test_the_stop_is_delayed_by_a_number_of_seconds(environment: pytest.MonkeyPatch) -> None:
    assert load_settings().shutdown_delay == 0
    environment.setenv("SHUTDOWN_DELAY", "2.5")
    assert load_settings().shutdown_delay == 2.5
    environment.setenv("SHUTDOWN_DELAY", "-1")
    with pytest.raises(InvalidSettings, match=r"^SHUTDOWN_DELAY cannot be used: "):
        load_settings()


def test_own_writes_are_found_within_a_bound_on_the_lag_alone(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_REPLICA_READ_YOUR_WRITES", "true")
    sentence = "^DATABASE_REPLICA_READ_YOUR_WRITES needs a bound: set DATABASE_REPLICA_MAX_LAG too$"
    with pytest.raises(InvalidSettings, match=sentence):
        load_settings()
    environment.setenv("DATABASE_REPLICA_MAX_LAG", "5")
    assert load_settings().database.replica_read_your_writes


def test_web_concurrency_is_the_number_of_workers(environment: pytest.MonkeyPatch) -> None:
    assert load_settings().web_concurrency == 1
    environment.setenv("WEB_CONCURRENCY", "4")
    assert load_settings().web_concurrency == 4


def test_the_limits_of_requests_have_variables(environment: pytest.MonkeyPatch) -> None:
    assert (load_settings().max_body_size, load_settings().max_header_fields) == (1024 * 1024, 100)
    environment.setenv("MAX_BODY_SIZE", "0")
    environment.setenv("MAX_HEADER_FIELDS", "50")
    assert (load_settings().max_body_size, load_settings().max_header_fields) == (0, 50)


def test_a_variable_that_is_only_called_database_is_somebody_elses(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE", "orders")
    assert load_settings().database.target.database == "orders"


@pytest.mark.parametrize("variable", ["DATABASE_POOL_SIZE", "WEB_CONCURRENCY"])
def test_an_empty_variable_is_one_that_is_not_set(variable: str, environment: pytest.MonkeyPatch) -> None:
    expected = load_settings()
    environment.setenv(variable, "")
    assert load_settings() == expected


def test_dotenv_is_read_and_the_environment_of_the_process_wins(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\nDATABASE_POOL_SIZE=31\nDATABASE_MAX_OVERFLOW=32\nOTHER=1\n")
    environment.delenv("DATABASE_URL")
    environment.setenv("DATABASE_POOL_SIZE", "33")
    database = load_settings().database
    assert (database.target.user, database.pool_size, database.max_overflow) == ("ada", 33, 32)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("content", [f"DATABASE_URL={URL}\n".encode("utf-16"), b"DATABASE_URL=\xff\n"])
def test_a_dotenv_that_cannot_be_read_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"^\.env cannot be read as UTF-8 text: .+$"):
        load_settings()


def test_what_prepares_the_tests_does_not_read_dotenv(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_POOL_SIZE=hostile\nDATABASE_CONNECT_TIMEOUT=hostile\n")
    asyncio.run(databases.create(settings.database.url.get_secret_value()))  # it is there: nothing happens


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", None),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", f"oracle://ada:{PASSWORD}@host/orders"),
        ("DATABASE_URL", f"{URL}?sslmode=prefer"),
        ("DATABASE_URL", f"{URL}?sslmode=verify-full&sslrootcert=/no/such/file"),
        ("DATABASE_REPLICA_URL", f"oracle://ada:{PASSWORD}@host/orders"),
        ("DATABASE_URL", f"{URL}?sslmode=require&sslcert=/no/such/file"),
        ("DATABASE_URL", f"{URL}?connect_timeout=10"),
        ("DATABASE_PASSWORD_FILE", "/no/such/file"),
        ("DATABASE_PASSWORD_FILE", "/"),
        ("DATABASE_POOL_SIZE", "abc"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "1001"),
        ("DATABASE_POOL_SIZE", "1.5"),
        ("DATABASE_MAX_OVERFLOW", "-1"),
        ("DATABASE_POOL_TIMEOUT", "0"),
        ("DATABASE_POOL_TIMEOUT", "nan"),
        ("DATABASE_POOL_TIMEOUT", "inf"),
        ("DATABASE_POOL_RECYCLE", "0"),
        ("DATABASE_POOL_RECYCLE", "86401"),
        ("DATABASE_POOL_PRE_PING", "perhaps"),
        ("DATABASE_STARTUP_TIMEOUT", "-1"),
        ("DATABASE_REPLICA_MAX_LAG", "0"),
        ("DATABASE_REPLICA_MAX_LAG", "inf"),
        ("DATABASE_REPLICA_FALLBACK", "perhaps"),
        ("DATABASE_ISOLATION_LEVEL", "READ UNCOMMITTED"),
        ("WEB_CONCURRENCY", "0"),
        ("MAX_BODY_SIZE", "-1"),
        ("MAX_HEADER_FIELDS", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_one_sentence(
    variable: str, value: str | None, environment: pytest.MonkeyPatch
) -> None:
    if value is None:
        environment.delenv(variable)
    else:
        environment.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=rf"^{variable} (is not set|cannot be used: .+)$") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    assert ESCAPED not in shown


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_REPLICA_URL"])
def test_a_password_in_the_url_and_one_in_a_file_are_one_too_many(
    variable: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    environment.setenv("DATABASE_PASSWORD_FILE", str(file))
    environment.setenv("DATABASE_URL", URL.replace(f":{ESCAPED}@", "@"))
    source = load_settings().database.target.password_source
    assert source
    assert source._ask("host", 1, "ada") == PASSWORD
    environment.setenv(variable, URL)
    sentence = f"^{variable} and DATABASE_PASSWORD_FILE both give a password: leave it out of the URL$"
    with pytest.raises(InvalidSettings, match=sentence) as caught:
        load_settings()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_each_variable_at_fault_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_POOL_SIZE", "abc")
    environment.setenv("DATABASE_POOL_TIMEOUT", "abc")
    with pytest.raises(InvalidSettings, match=r"^DATABASE_POOL_SIZE .+; DATABASE_POOL_TIMEOUT .+$"):
        load_settings()


def test_a_team_adds_settings_by_a_subclass(environment: pytest.MonkeyPatch) -> None:
    class TeamSettings(Settings):
        homing_pigeons: str = Field(min_length=3)

    with pytest.raises(InvalidSettings, match=r"^HOMING_PIGEONS is not set$"):
        load_settings(TeamSettings)
    environment.setenv("HOMING_PIGEONS", "seven")
    settings = load_settings(TeamSettings)
    assert isinstance(settings, TeamSettings)
    assert settings.homing_pigeons == "seven"


def test_the_sentence_names_the_variable_that_the_teams_prefix_and_delimiter_make(
    environment: pytest.MonkeyPatch,
) -> None:
    class Mail(BaseModel):
        server: str
        ports: list[int] = []

    class TeamSettings(Settings):
        model_config = SettingsConfigDict(env_prefix="ORDERS_", env_nested_delimiter="__")

        size: int = 1
        mail: Mail
        key: str = Field(validation_alias="SIGNING_KEY")

    environment.setenv("ORDERS_SIZE", "big")
    environment.setenv("ORDERS_MAIL__PORTS", "[25, null]")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(TeamSettings)
    names = [sentence.partition(" ")[0] for sentence in str(caught.value).split("; ")]
    assert names == ["ORDERS_SIZE", "ORDERS_MAIL__SERVER", "ORDERS_MAIL__PORTS", "SIGNING_KEY"]
    for name, value in zip(names, ["2", "mail.internal", "[25]", "key"], strict=True):
        environment.setenv(name, value)
    assert load_settings(TeamSettings).model_dump(include={"size", "mail", "key"}) == {
        "size": 2,
        "mail": {"server": "mail.internal", "ports": [25]},
        "key": "key",
    }


def test_the_sentence_names_the_one_variable_of_a_model_where_there_is_no_delimiter(
    environment: pytest.MonkeyPatch,
) -> None:
    class Mail(BaseModel):
        server: str

    class TeamSettings(Settings):
        mail: Mail

    environment.setenv("MAIL", "{}")
    with pytest.raises(InvalidSettings, match=r"^MAIL is not set$"):
        load_settings(TeamSettings)


def test_a_list_that_is_no_json_is_one_sentence(environment: pytest.MonkeyPatch) -> None:
    class TeamSettings(Settings):
        mail_servers: list[str]

    environment.setenv("MAIL_SERVERS", "one,two")
    with pytest.raises(InvalidSettings, match="mail_servers") as caught:
        load_settings(TeamSettings)
    assert "\n" not in str(caught.value)
    assert "one,two" not in str(caught.value)


def test_no_secret_shows_in_what_settings_print_or_dump(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_REPLICA_URL", URL)
    settings = load_settings()
    assert settings.database.target.password == PASSWORD
    for each in (settings, settings.database, settings.database.target, settings.database.replica_target):
        for shown in (repr(each), str(each), f"{each}"):
            assert PASSWORD not in shown
            assert ESCAPED not in shown
    for shown in (
        str(settings.model_dump()),
        settings.model_dump_json(),
        str(settings.database.model_dump(mode="json")),
    ):
        assert PASSWORD not in shown
        assert ESCAPED not in shown


def test_no_secret_shows_in_a_validation_error() -> None:
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(_env_file=None, url=URL.removesuffix("host/orders"), pool_size=0)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "the name of the database is missing" in shown
    assert PASSWORD not in shown
    assert ESCAPED not in shown


def test_what_the_settings_of_a_team_need_is_there_for_its_processes(environment: pytest.MonkeyPatch) -> None:
    class TeamSettings(Settings):
        homing_pigeons: int
        carrier: str = Field(validation_alias=AliasChoices("BY_AIR", "BY_SEA"))

    environment.setattr(extensions, "Settings", TeamSettings, raising=False)
    needed = {"HOMING_PIGEONS": "7", "BY_SEA": "x"}
    for name, value in {**needed, "DATABASE_POOL_SIZE": "3"}.items():
        environment.setenv(name, value)
    assert of_the_team() == needed
