"""Database URLs: every common form is understood, all else is refused in one sentence that repeats nothing of it."""

import ssl
import string
from pathlib import Path
from urllib.parse import quote

import pytest

from app.database import driver
from app.url import parse_url
from tests.conftest import test_database_url
from tests.urls import replaced

SCHEME = driver.SCHEMES[0]
HOSTILE = string.punctuation + string.whitespace + "ünï 🙂"

# Of nobody: only that it is read matters.
CA = """\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUDk9U6hcC+nspCkbwKkBv2BHjznswCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGTm9ib2R5MCAXDTI2MTEyMTAyNDU0NFoYDzIxMjYxMDI4MDI0
NTQ0WjARMQ8wDQYDVQQDDAZOb2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASzko6mzykweiXCZEmEQmYJfOFWyZT0hUky4PWop5lKWM2DbKJ9eOzUg0pspPFh
gSmN08kyAGWRxlTxAkE4T5rCo1MwUTAdBgNVHQ4EFgQUdcSZqDNuUV3sb9m84SAG
127YAFcwHwYDVR0jBBgwFoAUdcSZqDNuUV3sb9m84SAG127YAFcwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAymWdZ97GOsW3ksC3/Yu9/RpF38n9
Pq6NAqn03lQuwiACIBsJ7bFjB81S8DI6RvJ4sBIoGv+RAL15TePfB7JOGvbw
-----END CERTIFICATE-----
"""


def test_every_character_survives_in_user_password_and_database() -> None:
    escaped = quote(HOSTILE, safe="")
    target = parse_url(f"{SCHEME}://{escaped}:{escaped}@host/{escaped}")
    assert (target.user, target.password, target.database) == (HOSTILE, HOSTILE, HOSTILE)
    assert target.hosts == (("host", driver.PORT),)


def test_a_plus_and_a_colon_in_the_password_are_themselves() -> None:
    assert parse_url(f"{SCHEME}://ada:a+b:c@host/orders").password == "a+b:c"


@pytest.mark.parametrize("scheme", [s + library for s in driver.SCHEMES for library in ("", f"+{driver.NAME}")])
def test_each_scheme_is_understood_with_and_without_the_driver(scheme: str) -> None:
    target = parse_url(f"{scheme}://ada:secret@db.internal:1234/orders")
    assert target.hosts == (("db.internal", 1234),)
    assert (target.user, target.password, target.database) == ("ada", "secret", "orders")
    assert (target.socket, target.tls, target.ca) == (None, "disable", None)


def test_user_and_password_may_be_missing() -> None:
    assert (parse_url(f"{SCHEME}://host/orders").user, parse_url(f"{SCHEME}://host/orders").password) == (None, None)
    assert (parse_url(f"{SCHEME}://ada@host/orders").user, parse_url(f"{SCHEME}://ada:@host/d").password) == ("ada", "")


def test_space_around_the_url_does_not_matter() -> None:
    assert parse_url(f" {SCHEME}://host/orders\n").database == "orders"


def test_where_a_database_is_can_be_read_again() -> None:
    assert parse_url(f"{SCHEME}://ada:secret@[::1]:77/orders").where == "[::1]:77"
    assert parse_url(f"{SCHEME}://ada:secret@db.internal/orders").where == f"db.internal:{driver.PORT}"


def test_the_tests_change_one_part_of_a_url_with_several_hosts_on_every_python() -> None:
    """Current releases of Python refuse a `[` behind a `,` in urlsplit; older ones and app/url.py do not."""
    url = f"{SCHEME}://ada:p%40ss@one:1,[::2]:2/or%2Fders?sslmode=require"
    assert test_database_url(url, "gw0") == f"{SCHEME}://ada:p%40ss@one:1,[::2]:2/or%2Fders_test_gw0?sslmode=require"
    assert replaced(url, "location", "here:3") == f"{SCHEME}://ada:p%40ss@here:3/or%2Fders?sslmode=require"
    assert replaced(url, "userinfo", "bob") == f"{SCHEME}://bob@one:1,[::2]:2/or%2Fders?sslmode=require"
    assert replaced(f"{SCHEME}://one,[::2]/d", "userinfo", "bob") == f"{SCHEME}://bob@one,[::2]/d"


@pytest.mark.parametrize(("host", "parsed"), [("[::1]", ("::1", driver.PORT)), ("[fe80::1]:77", ("fe80::1", 77))])
def test_brackets_surround_an_ipv6_address(host: str, parsed: tuple[str, int]) -> None:
    assert parse_url(f"{SCHEME}://ada:secret@{host}/orders").hosts == (parsed,)


def test_several_hosts_where_the_driver_follows_a_failover() -> None:
    url = f"{SCHEME}://ada:secret@one:1,two,[::3]:3/orders"
    if driver.SEVERAL_HOSTS:
        assert parse_url(url).hosts == (("one", 1), ("two", driver.PORT), ("::3", 3))
    else:
        with pytest.raises(ValueError, match=r"^name one host: a proxy or a DNS name .*"):
            parse_url(url)


@pytest.mark.parametrize("option", ["host", "unix_socket"])
@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_socket_takes_the_place_of_the_host(option: str, host: str) -> None:
    target = parse_url(f"{SCHEME}://ada:secret@{host}/orders?{option}=/run/some%20where")
    assert (target.socket, target.hosts, target.user) == ("/run/some where", (), "ada")


def test_a_sockets_name_may_have_a_port_in_it() -> None:
    url = f"{SCHEME}://ada@/orders?host=/run/db"
    assert parse_url(url).socket_port == driver.PORT
    if driver.SOCKET_HAS_PORT:
        assert parse_url(f"{url}&port=6432").socket_port == 6432
        for wrong in (f"{url}&port=0", f"{url}&port=x", f"{SCHEME}://ada@host/orders?port=6432"):
            with pytest.raises(ValueError, match="stands beside a socket"):
                parse_url(wrong)
    else:
        with pytest.raises(ValueError, match="option is unknown"):
            parse_url(f"{url}&port=6432")


def test_of_several_hosts_the_primary_is_wanted_unless_the_url_says_otherwise() -> None:
    if not driver.SEVERAL_HOSTS:
        with pytest.raises(ValueError, match="option is unknown"):
            parse_url(f"{SCHEME}://one/orders?target_session_attrs=any")
        return
    assert parse_url(f"{SCHEME}://one/orders").session_attrs == "any"
    assert parse_url(f"{SCHEME}://one,two/orders").session_attrs == "primary"
    assert parse_url(f"{SCHEME}://one,two/orders?target_session_attrs=standby").session_attrs == "standby"
    with pytest.raises(ValueError, match="must be any, primary or standby"):
        parse_url(f"{SCHEME}://one,two/orders?target_session_attrs=read-write")


@pytest.mark.parametrize("option", ["sslmode", "ssl-mode"])
@pytest.mark.parametrize(
    ("modes", "verify", "hostname"),
    [
        (("require", "REQUIRED"), ssl.CERT_NONE, False),
        (("verify-ca", "VERIFY_CA"), ssl.CERT_REQUIRED, False),
        (("verify-full", "VERIFY_IDENTITY"), ssl.CERT_REQUIRED, True),
    ],
)
def test_each_tls_mode_checks_what_it_promises(
    option: str, modes: tuple[str, ...], verify: ssl.VerifyMode, hostname: bool
) -> None:
    for mode in modes:
        context = parse_url(f"{SCHEME}://host/orders?{option}={mode}").ssl_context()
        assert context
        assert (context.verify_mode, context.check_hostname) == (verify, hostname)


def test_plaintext_is_what_the_url_asks_for_by_default_or_by_name() -> None:
    assert parse_url(f"{SCHEME}://host/orders").ssl_context() is None
    assert parse_url(f"{SCHEME}://host/orders?sslmode=disable").ssl_context() is None


@pytest.mark.parametrize("option", ["sslrootcert", "ssl-ca"])
def test_a_ca_takes_the_place_of_those_of_the_system(option: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA)
    context = parse_url(f"{SCHEME}://host/orders?sslmode=verify-full&{option}={tmp_path}/ca.pem").ssl_context()
    assert context
    assert context.cert_store_stats()["x509_ca"] == 1


def test_the_authorities_of_the_system_are_asked_for_by_name_and_then_the_hosts_name_counts() -> None:
    for url in (f"{SCHEME}://host/orders?sslrootcert=system", f"{SCHEME}://host/orders?ssl-ca=system"):
        assert parse_url(url) == parse_url(f"{SCHEME}://host/orders?sslmode=verify-full")


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(CA)
    target = parse_url(f"{SCHEME}://host/orders?sslmode=verify-full&sslrootcert={authority}")
    first = target.ssl_context()
    assert target.ssl_context() is first
    (tmp_path / "new.pem").write_text(CA)
    (tmp_path / "new.pem").replace(authority)
    second = target.ssl_context()
    assert second is not first
    assert target.ssl_context() is second
    authority.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        target.ssl_context()


def test_a_client_has_a_certificate_with_a_key_in_the_same_file_or_in_another() -> None:
    url = f"{SCHEME}://host/orders?sslmode=require"
    for certificate, key in (("sslcert", "sslkey"), ("ssl-cert", "ssl-key")):
        target = parse_url(f"{url}&{certificate}=/one.pem&{key}=/two.pem&sslpassword=s3cret")
        assert (target.certificate, target.key, target.key_password) == ("/one.pem", "/two.pem", "s3cret")
        assert "s3cret" not in repr(target)
    assert parse_url(f"{url}&sslcert=/both.pem").key is None


def test_connections_share_one_context_for_reading_the_certificates_takes_long() -> None:
    url = f"{SCHEME}://host/orders?sslmode=verify-full"
    assert parse_url(url).ssl_context() is parse_url(url).ssl_context()


def test_the_password_is_not_in_what_a_target_prints() -> None:
    target = parse_url(f"{SCHEME}://ada:s3cret@host/orders")
    assert target.password == "s3cret"
    assert "s3cret" not in f"{target!r} {target}"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("secret", "the URL begins with"),
        ("oracle://ada:secret@hidden/hidden", "the URL begins with"),
        (f"{SCHEME}+hidden://ada:secret@hidden/hidden", "this service uses"),
        (f"{SCHEME}://ada:secret@hidden", "name of the database"),
        (f"{SCHEME}://ada:secret@hidden/", "name of the database"),
        (f"{SCHEME}://ada:secret@hidden/hidden#hidden", "name of the database"),
        (f"{SCHEME}://ada:secret@/hidden", "host is missing"),
        (f"{SCHEME}://ada:secret@hidden:secret/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@hidden:0/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@hidden:65536/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@:1/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@.../hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@{'hidden' * 11}/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@hidden%00/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@hidden,,hidden/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@[hidden/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@%2Fhidden/hidden", "%-escapes"),
        (f"{SCHEME}://ada:%ffsecret@hidden/hidden", "%-escapes"),
        (f"{SCHEME}://ada:sec\tret@hidden/hidden", "%-escapes"),
        # The password has a special character, and its first part looks like a port.
        (f"{SCHEME}://hidden:1/secret@hidden/hidden", "%-escapes"),
        (f"{SCHEME}://hidden:1?secret@hidden/hidden", "%-escapes"),
        (f"{SCHEME}://hidden:1#secret@hidden/hidden", "%-escapes"),
        (f"{SCHEME}://hidden:1/x?secret@hidden/hidden", "%-escapes"),
        (f"{SCHEME}://ada:secret@hidden/hidden?hidden=hidden", "option is unknown"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=require&sslmode=disable", "stands twice"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=require&ssl-mode=disabled", "stands twice"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=prefer", "fall back to plaintext"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=", "fall back to plaintext"),
        (f"{SCHEME}://ada:secret@hidden/hidden?ssl-mode=PREFERRED", "fall back to plaintext"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslrootcert=/hidden", "a CA is used by"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=require&sslrootcert=/hidden", "a CA is used by"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=verify-ca&sslrootcert=system", "write sslmode=verify-full"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslcert=/hidden", "over TLS only"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=require&sslkey=/hidden", "add sslcert"),
        (f"{SCHEME}://ada:secret@hidden/hidden?sslmode=require&sslpassword=secret", "add sslcert"),
        (f"{SCHEME}://ada:secret@hidden/hidden?options=hidden&connect_timeout=hidden", "option"),
        (f"{SCHEME}://ada:secret@/hidden?host=hidden", "absolute path"),
        (f"{SCHEME}://ada:secret@hidden/hidden?unix_socket=/hidden", "not both"),
        (f"{SCHEME}://ada:secret@localhost:1/hidden?unix_socket=/hidden", "not both"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_that_repeats_nothing_of_it(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        parse_url(url)
    sentence = str(caught.value)
    assert "secret" not in sentence
    assert "hidden" not in sentence
    assert "\n" not in sentence
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
