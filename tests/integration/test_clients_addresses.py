"""Where the token goes with ``requests``, and where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken, exceptions
from tests.support import api as handle
from tests.support.api import Api, running_api
from tests.support.provider import Provider

pytestmark = pytest.mark.django_db(transaction=True)

api_process, api, client = handle.api_process, handle.api, handle.client


@pytest.fixture(scope="module")
def other_process() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture
def other_api(other_process: Api) -> Api:
    """Another origin: the same machine, another port."""
    other_process.reset()
    return other_process


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_token_to_another_host_on_a_redirect(
    client: Any, token: OAuthToken, api: Api, other_api: Api, provider: Provider, status: int
) -> None:
    response = client("POST", f"/?to={other_api.url}/x&status={status}", data="x")
    # Nor does the 401 of who never got a token mean anything about it.
    assert response.status_code == 401
    assert [r["authorization"] for r in other_api.requests()] == [""]
    assert provider.refreshes == 0


def test_the_token_follows_a_redirect_on_its_host(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    assert client("POST", f"/?to={api.url}/x", data="x").ok
    assert api.tokens == [token.access_token] * 2
    api.refuse(token.access_token)
    assert client("POST", f"/?to={api.url}/x", data="y").ok
    assert [(r["path"], r["body"]) for r in api.requests()[2:]] == [
        ("/", "y"),
        ("/x", "y"),
        ("/x", "y"),
    ]
    assert provider.refreshes == 1


def test_a_redirect_after_the_repetition_carries_the_new_token(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    """The API refuses first and sends on then; requests makes the next request of the first."""
    session = user.oauth_tokens.session("acme", base_url=api.url)

    def send_on(response: requests.Response, **_: Any) -> requests.Response:
        if response.request.url == f"{api.url}/first" and response.ok:
            response.status_code = 307
            response.headers["Location"] = f"{api.url}/second"
        return response

    api.refuse(token.access_token)
    assert session.get("/first", hooks={"response": send_on}).ok
    new = stored().access_token
    assert [(r["path"], r["authorization"][7:]) for r in api.requests()] == [
        ("/first", token.access_token),
        ("/first", new),
        ("/second", new),
    ]


def test_one_repetition_for_a_whole_chain_of_redirects(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse()
    assert client("GET", f"/?to={api.url}/x").status_code == 401
    assert [r["path"] for r in api.requests()] == ["/", "/x", "/x"]
    assert provider.refreshes == 1


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://127.0.0.1/", "https:///x", "//x/y"])
def test_no_token_without_tls(user: AbstractUser, token: OAuthToken, url: str) -> None:
    with pytest.raises((exceptions.OAuthTokenError, requests.RequestException)) as caught:
        user.oauth_tokens.session("acme").get(url)
    assert token.access_token not in str(caught.value)
    with pytest.raises(exceptions.OAuthTokenError) as error:
        user.oauth_tokens.session("acme", base_url=url)
    assert error.value.code == "insecure_url"


def test_with_a_base_url_its_host_alone_gets_the_token(
    user: AbstractUser, token: OAuthToken, api: Api, other_api: Api
) -> None:
    session = user.oauth_tokens.session("acme", base_url=f"{api.url}/v1/")
    for path in ("things", "/things", f"{api.url}/v1/things"):
        assert session.get(path).ok
    assert {r["path"] for r in api.requests()} == {"/v1/things"}
    for url in (f"{other_api.url}/x", f"//127.0.0.1:{other_api.port}/x"):
        with pytest.raises(exceptions.OAuthTokenError, match="allowed_hosts"):
            session.get(url if url.startswith("http") else f"http:{url}")
    for url in ("../admin", "things/../../admin", "%2e%2e/admin", "..\\admin"):
        with pytest.raises(exceptions.OAuthTokenError) as caught:
            session.get(url)
        assert caught.value.code == "url_not_allowed"
    assert other_api.requests() == []
    listed = user.oauth_tokens.session(
        "acme", base_url=api.url, allowed_hosts=[f"127.0.0.1:{other_api.port}"]
    )
    assert listed.get(f"{other_api.url}/x").ok


def test_a_netrc_file_changes_nothing(
    user: AbstractUser,
    token: OAuthToken,
    api: Api,
    other_api: Api,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get(f"/?to={api.url}/x").ok
    session.get("/", withhold_token=True)
    session.get(f"/?to={other_api.url}/x")
    assert api.tokens[:2] == [token.access_token] * 2
    assert api.tokens[2] == ""
    assert other_api.tokens == [""]
