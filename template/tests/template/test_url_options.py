"""The options of URLs, also those of providers and other drivers: each is taken, or refused by name."""

import re

import pytest

from app.database import driver, provider_options
from app.url import parse_url
from app.url_options import INSTEAD, NAMES
from tests import facts
from tests.pages import page

URL = f"{driver.SCHEMES[0]}://ada:secret@hidden/hidden"
PAGE = page("connecting.md")


@pytest.mark.parametrize("provider", facts.PROVIDERS)
def test_what_providers_hand_out_is_taken_or_refused_by_its_name(provider: str) -> None:
    url, advice = facts.PROVIDERS[provider]
    if advice is None:
        assert parse_url(url).database
    else:
        with pytest.raises(ValueError, match=re.escape(advice)):
            parse_url(url)


@pytest.mark.parametrize("name", INSTEAD)
def test_an_option_of_others_is_refused_with_what_to_write_instead(name: str) -> None:
    for written in (name, name.upper()):
        with pytest.raises(ValueError, match=rf"^instead of the option {name} \S+") as caught:
            parse_url(f"{URL}?{written}=hidden")
        assert str(caught.value) == f"instead of the option {name} {INSTEAD[name]}"
        assert "hidden" not in str(caught.value)


def test_what_is_so_in_any_case_may_be_said() -> None:
    for name, values in provider_options.IDLE.items():
        for value in values:
            assert parse_url(f"{URL}?{name}={value}") == parse_url(f"{URL}?{name.upper()}={value.upper()}")
            assert parse_url(f"{URL}?{name}={value}") == parse_url(URL)
        assert name in INSTEAD, "another value is refused by its name"


def test_each_option_is_understood_or_refused_not_both() -> None:
    understood = {name for names in NAMES.values() for name in names}
    assert not understood & (INSTEAD.keys() | provider_options.IDLE.keys())
    assert sum(map(len, provider_options.INSTEAD.values())) == len(INSTEAD), "a name stands twice"


def test_the_page_on_connecting_has_each_option_with_what_to_write_instead() -> None:
    rows = [
        f"| {', '.join(f'`{n}`' for n in names)} | {advice} |" for advice, names in provider_options.INSTEAD.items()
    ]
    rows += [f"| `{n}` | {', '.join(f'`{v}`' for v in values)} |" for n, values in provider_options.IDLE.items()]
    table, *_ = PAGE.partition("### URLs of providers")
    lines = table.splitlines()
    assert [row for row in rows if row not in lines] == []
    between = table.partition("so in any case:")[2]
    assert sorted(re.findall(r"^\| `.+ \|$", between, re.MULTILINE)) == sorted(rows), "a row that is no more"
    own = table.partition("so in any case:")[0]
    assert {name for names in NAMES.values() for name in names} <= set(re.findall(r"`([\w-]+)`", own))


def test_a_plus_is_no_space() -> None:
    """As libpq reads it: the query of a URL is not that of a form."""
    target = parse_url(f"{URL}?{NAMES['tls'][0]}=require&{NAMES['certificate'][0]}=a+b&{NAMES['key'][0]}=c%2Bd%20e")
    assert (target.certificate, target.key) == ("a+b", "c+d e")
