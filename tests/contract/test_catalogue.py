"""Any provider by settings alone: those of ``catalogue.csv`` and how they differ from RFC 6749.

Its last column names each difference in a word: ``basic`` (client_secret_basic), ``comma`` (between
scopes), ``no-pkce``, ``json`` (bodies), ``by-get`` and ``renew-by-get``; ``var:``, a variable in an
address, with its choices; ``back:``, one that the redirect brings; ``ask:``, ``send:`` and
``renew:``, what the authorization, the token and the refresh request have beyond the RFC; ``as:``,
``send-as:`` and ``renew-as:``, other names for what they have; ``renew-at:``, where a refresh goes;
``code:``, what the redirect calls the code; ``nest:``, where in the answer the token is; ``keep:``,
what there is to keep.
"""

from __future__ import annotations

import base64
import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.checking import provider_problems
from oauth_tokens.providers.registry import resolve_provider
from oauth_tokens.providers.wire import Request
from oauth_tokens.token_set import TokenSet
from tests.contract.dialect import CLIENT_ID, CLIENT_SECRET, CODE, VERIFIER, merged

REDIRECT_URI = "https://site.example/oauth/it/callback/"
STATE = "the-state"


@dataclass(frozen=True)
class Entry:
    """A row."""

    name: str
    authorize: str
    token: str
    words: dict[str, list[str]]

    def __contains__(self, word: str) -> bool:
        return word in self.words

    def one(self, word: str) -> str:
        return next(iter(self.words.get(word, ())), "")

    def pairs(self, *words: str) -> dict[str, str]:
        return {
            key: value
            for word in words
            for pair in self.words.get(word, ())
            for key, value in parse_qsl(pair, keep_blank_values=True)
        }

    @property
    def choices(self) -> dict[str, list[str]]:
        split = (spec.partition("=") for spec in self.words.get("var", ()))
        return {name: choices.split("|") if choices else [] for name, _, choices in split}

    @property
    def values(self) -> dict[str, str]:
        """What a user gives, the last of the choices, or the redirect brings."""
        given = {name: choices[-1] if choices else "acme" for name, choices in self.choices.items()}
        return {**given, **dict.fromkeys(self.words.get("back", ()), "acme")}

    def filled(self, text: str) -> str:
        known = {**self.values, "client_id": CLIENT_ID, "state": STATE, "random": "*"}
        return re.sub(r"\{(\w+)\}", lambda match: known[match[1]], text)

    def params(
        self, beyond: str, names: tuple[str, ...], standard: dict[str, str]
    ) -> dict[str, str]:
        """Of a request: the RFC's, and those ``beyond`` it, by this provider's ``names``."""
        extra = {key: self.filled(value) for key, value in self.pairs(beyond).items()}
        called = self.pairs(*names)
        together = {**standard, **extra}
        return merged(*({called.get(k, k): v} for k, v in together.items() if called.get(k, k)))


def read() -> dict[str, Entry]:
    entries = {}
    with Path(__file__).with_name("catalogue.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            words = defaultdict(list)
            for word in row.pop("differences").split():
                name, _, value = word.partition(":")
                words[name].append(value)
            entries[row["name"]] = Entry(**row, words=dict(words))
    return entries


CATALOGUE = read()


def described(entry: Entry) -> dict[str, Any]:
    """What an operator writes."""
    asked = {name: {"choices": c} if c else {} for name, c in entry.choices.items()}
    brought = {name: {"redirect": name} for name in entry.words.get("back", ())}
    return {
        "authorization_endpoint": entry.authorize,
        "token_endpoint": entry.token,
        "refresh_endpoint": entry.one("renew-at"),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "token_endpoint_auth_method": f"client_secret_{'basic' if 'basic' in entry else 'post'}",
        "scope_separator": "," if "comma" in entry else " ",
        "pkce": "no-pkce" not in entry,
        "token_body": "json" if "json" in entry else "form",
        "token_method": "GET" if "by-get" in entry else "POST",
        "refresh_method": "GET" if "renew-by-get" in entry else "",
        "url_variables": {**asked, **brought},
        "authorization_params": entry.pairs("ask"),
        "authorization_parameter_names": entry.pairs("as"),
        "token_params": entry.pairs("send"),
        "token_parameter_names": entry.pairs("send-as"),
        "refresh_params": {k: v for k, v in entry.pairs("renew").items() if k != "grant_type"},
        "refresh_grant_type": entry.pairs("renew").get("grant_type", "refresh_token"),
        "refresh_parameter_names": entry.pairs("renew-as"),
        "code_parameter": entry.one("code") or "code",
        "token_path": entry.one("nest"),
        "metadata_fields": entry.words.get("keep", []),
    }


def test_it_has_providers_of_many_shapes() -> None:
    assert len(CATALOGUE) >= 100
    shapes = {tuple(sorted(entry.words)) for entry in CATALOGUE.values()}
    assert len(shapes) >= 40


@pytest.mark.parametrize("name", CATALOGUE)
def test_settings_alone_describe_it(name: str, configure: Callable[..., None]) -> None:
    entry = CATALOGUE[name]
    assert [problem.message for problem in provider_problems("it", described(entry))] == []
    configure(PROVIDERS={"it": described(entry)})
    provider = resolve_provider("it", variables=entry.values)
    assert_users_are_sent_there(entry, provider)
    assert_a_code_is_exchanged(entry, provider)
    assert_a_token_is_refreshed(entry, provider)
    assert_answers_are_understood(entry, provider)


def assert_users_are_sent_there(entry: Entry, provider: Provider) -> None:
    url = provider.authorization_url(
        redirect_uri=REDIRECT_URI,
        state=STATE,
        scope=["one", "two"],
        code_verifier=VERIFIER if provider.pkce else None,
        known={"url_variables": entry.values},
    )
    address = entry.filled(entry.authorize)
    assert url.startswith(f"{address}?")
    standard = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "state": STATE,
        "scope": "one,two" if "comma" in entry else "one two",
    }
    proof = {} if "no-pkce" in entry else {"code_challenge": "*", "code_challenge_method": "S256"}
    # What settings add gives way to the scopes that a caller wants.
    expected = {**entry.params("ask", ("as",), {**standard, **proof})}
    if "scope" in expected:
        expected["scope"] = standard["scope"]
    assert_same(dict(parse_qsl(url[len(address) + 1 :])), expected)


def assert_a_code_is_exchanged(entry: Entry, provider: Provider) -> None:
    known = {"state": STATE, "url_variables": entry.values}
    request = provider.exchange_request(
        code=CODE,
        redirect_uri=REDIRECT_URI,
        code_verifier=VERIFIER if provider.pkce else None,
        known=known,
    )
    standard = {"grant_type": "authorization_code", "code": CODE, "redirect_uri": REDIRECT_URI}
    proof = {} if "no-pkce" in entry else {"code_verifier": VERIFIER}
    expected = entry.params("send", ("send-as",), {**standard, **proof, **secret(entry)})
    assert_sent(entry, request, "GET" if "by-get" in entry else "POST", entry.token, expected)


def assert_a_token_is_refreshed(entry: Entry, provider: Provider) -> None:
    known = {"url_variables": entry.values}
    request = provider.refresh_request(refresh_token="REFRESH-1", scope=["one"], known=known)
    standard = {"grant_type": "refresh_token", "refresh_token": "REFRESH-1", **secret(entry)}
    expected = entry.params("renew", ("send-as", "renew-as"), standard)
    method = "GET" if {"by-get", "renew-by-get"} & entry.words.keys() else "POST"
    assert_sent(entry, request, method, entry.one("renew-at") or entry.token, expected)


def assert_answers_are_understood(entry: Entry, provider: Provider) -> None:
    body: dict[str, Any] = {"access_token": "ACCESS-1", "refresh_token": "REFRESH-1"}
    if "nest" in entry:
        body = {entry.one("nest"): body}
    for path in entry.words.get("keep", ()):
        inner = body
        *above, last = path.split(".")
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = "kept"
    tokens: TokenSet = provider.parse_token_response(body)
    assert (tokens.access_token, tokens.refresh_token) == ("ACCESS-1", "REFRESH-1")
    assert tokens.extra == dict.fromkeys(entry.words.get("keep", ()), "kept")
    assert provider.code_parameter == (entry.one("code") or "code")


def secret(entry: Entry) -> dict[str, str]:
    return {} if "basic" in entry else {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


def assert_same(found: dict[str, str], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys()
    assert all(value in ("*", found[key]) for key, value in expected.items())


def assert_sent(
    entry: Entry, request: Request, method: str, url: str, params: dict[str, str]
) -> None:
    assert request.method == method
    address, _, query = request.url.partition("?")
    expected_address, _, own = entry.filled(url).partition("?")
    assert address == expected_address
    assert urlsplit(url).scheme == "https"
    sent = str(request.body)
    if method == "GET":
        sent = query
    else:
        assert query == own
    found = json.loads(sent) if "json" in entry and method == "POST" else dict(parse_qsl(sent))
    assert_same(found, params)
    pair = base64.b64encode(b"the-client:s3cret%2B%2F%3D").decode()
    assert request.headers.get("Authorization") == (f"Basic {pair}" if "basic" in entry else None)
