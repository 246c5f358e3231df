"""Variables in a provider's addresses: no user can point the server at an address of their choice
(RFC 9700 section 4.11; OWASP on server-side request forgery)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django import Settings

from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.registry import get_provider, resolve_provider
from oauth_tokens.providers.variables import (
    InvalidVariable,
    UrlVariable,
    fill_address,
    parse_variables,
    unsafe_variables,
)

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ZENDESK = {
    "authorization_endpoint": "https://{subdomain}.zendesk.com/oauth/authorizations/new",
    "token_endpoint": "https://{subdomain}.zendesk.com/oauth/tokens",
    "revocation_endpoint": "https://{subdomain}.zendesk.com/oauth/revoke",
    "client_id": "client",
    "url_variables": {"subdomain": {"label": "Your Zendesk subdomain"}},
}


@pytest.fixture
def zendesk(settings: Settings) -> None:
    settings.OAUTH_TOKENS = {"ENCRYPTION_KEYS": [KEY], "PROVIDERS": {"zendesk": ZENDESK}}


@pytest.mark.usefixtures("zendesk")
def test_the_value_is_put_into_every_address() -> None:
    provider = resolve_provider("zendesk", variables={"subdomain": " Acme-7 "})
    assert provider.token_endpoint == "https://acme-7.zendesk.com/oauth/tokens"
    assert provider.authorization_endpoint.startswith("https://acme-7.zendesk.com/")
    assert provider.revocation_endpoint.startswith("https://acme-7.zendesk.com/")
    assert get_provider("zendesk").token_endpoint == ZENDESK["token_endpoint"]


@pytest.mark.usefixtures("zendesk")
@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "evil.example", "evil.example/", "evil.example#", "evil.example?", "a.b", "a_b"),
        *(
            "evil.example/x",
            "evil.example:443",
            "a@b",
            "a:b@c",
            "a\\b",
            "-a",
            "a-",
            ".",
            "..",
            "a.",
        ),
        *(
            "127.0.0.1",
            "[::1]",
            "localhost/",
            "169.254.169.254/",
            "a\nb",
            "a\tb",
            "a b",
            "%2e",
            "a%",
        ),
        *(
            "\uff41cme",
            "acmé",
            "xn--\u0301",
            "a" * 64,
            "a\0",
            "{subdomain}",
            "https://evil.example",
        ),
    ],
)
def test_a_value_is_one_label_and_nothing_else(value: str) -> None:
    with pytest.raises(ProviderMisconfigured, match="url_variables") as caught:
        resolve_provider("zendesk", variables={"subdomain": value})
    assert caught.value.code == "url_variable"
    assert len(value) < 5 or value not in str(caught.value)


@pytest.mark.usefixtures("zendesk")
def test_a_value_that_is_missing_names_the_fix() -> None:
    with pytest.raises(ProviderMisconfigured, match=r"subdomain is missing.*Have the user connect"):
        resolve_provider("zendesk")


TEMPLATE = "https://{sub}.zendesk.com/{tenant}/token?realm={tenant}"


@given(sub=st.text(max_size=30), tenant=st.text(max_size=30))
@example(sub="a", tenant="..")
@example(sub="a", tenant="a@b")
@example(sub="evil.example/", tenant="x")
@example(sub="a.b.c", tenant="common")
def test_whatever_the_value_and_pattern_the_address_stays_the_providers(
    sub: str, tenant: str
) -> None:
    """Even an operator's pattern that lets everything through."""
    anything = r"(?s).*"
    variables = parse_variables({"sub": {"pattern": anything}, "tenant": {"pattern": anything}})
    try:
        values = {name: variables[name].accept(v) for name, v in (("sub", sub), ("tenant", tenant))}
        url = fill_address(TEMPLATE, values)
    except InvalidVariable:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.username, parts.port) == ("https", None, None)
    assert parts.hostname is not None
    assert parts.hostname.endswith(".zendesk.com")
    assert parts.path == f"/{values['tenant']}/token"
    assert parts.query == f"realm={values['tenant']}"
    assert not parts.fragment


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("https://{x}.acme.example/token", "evil.example/"),
        ("https://{x}.acme.example/token", "evil.example#"),
        ("https://{x}.acme.example/token", "evil.example?"),
        ("https://{x}.acme.example/token", "me@evil.example/"),
        ("https://{x}.acme.example/token", "evil.example:8443/"),
        ("https://acme.example{x}/token", "@evil.example"),
        ("https://acme.example{x}/token", ":8443"),
        ("{x}://acme.example/token", "http"),
    ],
)
def test_the_finished_address_is_looked_at_once_more(template: str, value: str) -> None:
    with pytest.raises(InvalidVariable):
        fill_address(template, {"x": value})


@pytest.mark.parametrize(
    ("template", "choices", "unsafe"),
    [
        ("https://{x}.zendesk.com/token", (), []),
        ("https://{x}-admin.okta.com/token", (), []),
        ("https://{x}.acme.example:8443/token", (), []),
        ("https://acme.example/{x}/token", (), []),
        ("https://{x}/token", (), ["x"]),
        ("https://{x}:8443/token", (), ["x"]),
        ("https://{x}.com/token", (), ["x"]),
        ("https://{x}zendesk.com/token", (), ["x"]),
        ("https://accounts.zoho.{x}/token", (), ["x"]),
        ("https://accounts.zoho.{x}/token", ("com", "eu"), []),
    ],
)
def test_who_chooses_the_server(template: str, choices: tuple[str, ...], unsafe: list[str]) -> None:
    assert unsafe_variables(template, {"x": UrlVariable("x", choices=choices)}) == unsafe


def test_choices_patterns_and_defaults() -> None:
    region = UrlVariable("region", choices=("com", "com.au"), default="com")
    assert (region.accept("com.au"), region.accept("")) == ("com.au", "com")
    with pytest.raises(InvalidVariable):
        region.accept("ru")
    domain = UrlVariable("domain", pattern=r"login|test|[a-z-]+\.my")
    assert domain.accept("acme.my") == "acme.my"
    for value in ("LOGIN", "acme", "acme.your"):
        with pytest.raises(InvalidVariable):
            domain.accept(value)
    shorthand = parse_variables(["subdomain"])
    assert shorthand["subdomain"].accept("acme") == "acme"
