"""Django REST framework: the same answers through its own exceptions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import path
from pytest_django import Settings
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from oauth_tokens.bearer import Bearer
from oauth_tokens.bearer.drf import BearerAuthentication, HasScopes, TokenUser
from tests.support import jwt_fixtures
from tests.support.jwt_server import AUDIENCE, Issuer

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer


class Throttle(UserRateThrottle):
    rate = "1000/s"


class Projects(APIView):
    permission_classes = [HasScopes]
    throttle_classes = [Throttle]
    required_scopes = ["read"]

    def get(self, request: Any) -> Response:
        assert isinstance(request.auth, Bearer)
        return Response({"user": str(request.user), "scopes": sorted(request.auth.scopes)})

    post = get


class Writing(Projects):
    required_scopes = ["write"]


class Open(Projects):
    required_scopes = []


class Forgetful(APIView):
    permission_classes = [HasScopes]

    def get(self, request: Any) -> Response:
        raise AssertionError


class Anybody(APIView):
    def get(self, request: Any) -> Response:
        return Response({"anonymous": isinstance(request.user, AnonymousUser)})


@api_view(["GET"])
def function(request: Any) -> Response:
    return Response({"pk": request.user.pk, "staff": request.user.is_staff})


@pytest.fixture
def api(issuer: Issuer, settings: Settings) -> Client:
    class Authentication(BearerAuthentication):
        issuer = "replaced below"
        audience = AUDIENCE
        realm = "projects"

    Authentication.issuer = issuer.url
    first = {"authentication_classes": [Authentication]}
    second = {"authentication_classes": [SessionAuthentication, Authentication]}
    function.cls.authentication_classes = [Authentication]  # type: ignore[attr-defined]
    function.cls.permission_classes = [IsAuthenticated]  # type: ignore[attr-defined]

    class Urls:
        urlpatterns = [
            path("projects/", Projects.as_view(**first)),
            path("writing/", Writing.as_view(**first)),
            path("open/", Open.as_view(**first)),
            path("forgetful/", Forgetful.as_view(**first)),
            path("either/", Projects.as_view(**second)),
            path("anybody/", Anybody.as_view(**first)),
            path("function/", function),
        ]

    settings.ROOT_URLCONF = Urls
    return Client(enforce_csrf_checks=True)


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_of_the_issuer(api: Client, issuer: Issuer) -> None:
    headers = bearing(issuer.token())
    for method in (api.get, api.post):
        for url in ("/projects/", "/either/"):
            answer = method(url, headers=headers)
            assert answer.status_code == 200, answer.content
            assert answer.json() == {"user": "reporter", "scopes": ["read"]}
    assert api.get("/function/", headers=headers).json() == {"pk": "reporter", "staff": False}
    assert len(issuer.requests("jwks")) == 1


def test_no_token(api: Client) -> None:
    for url in ("/projects/", "/function/"):
        for headers in ({}, {"Authorization": "Basic YTpi"}):
            answer = api.get(url, headers=headers)
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == 'Bearer realm="projects"'
    assert api.get("/anybody/").json() == {"anonymous": True}


def test_an_invalid_token_is_refused_even_where_none_is_needed(api: Client) -> None:
    for url in ("/projects/", "/either/", "/anybody/"):
        answer = api.get(url, headers=bearing("a.b.c"))
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_token"
        assert answer["WWW-Authenticate"].startswith(
            'Bearer realm="projects", error="invalid_token", error_description="'
        )


def test_a_malformed_header(api: Client) -> None:
    answer = api.get("/projects/", headers={"Authorization": "Bearer a b"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_scope_is_missing(api: Client, issuer: Issuer) -> None:
    answer = api.get("/writing/", headers=bearing(issuer.token("read")))
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.json()["scope"] == "write"
    assert answer["WWW-Authenticate"].endswith('scope="write"')


def test_the_issuer_is_down(api: Client, issuer: Issuer) -> None:
    token = issuer.token()
    issuer.misbehave("jwks", "status", status=500)
    answer = api.get("/projects/", headers=bearing(token))
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    assert int(answer["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer


def test_a_login_session_has_no_scopes(api: Client, user: AbstractUser) -> None:
    api.force_login(user)
    assert api.get("/either/").status_code == 403


def test_a_user_of_one_s_own(issuer: Issuer, rf: Any) -> None:
    class Looking(BearerAuthentication):
        audience = AUDIENCE

        def get_user(self, bearer: Bearer) -> Any:
            return f"user {bearer.subject}"

    Looking.issuer = issuer.url  # type: ignore[attr-defined]

    class Request:
        _request = rf.get("/", headers=bearing(issuer.token()))

    user, bearer = Looking().authenticate(Request())  # type: ignore[misc]
    assert (user, bearer.subject) == ("user reporter", "reporter")


def test_subclasses_have_validators_of_their_own() -> None:
    class One(BearerAuthentication):
        issuer = "https://one.example"
        audience = AUDIENCE

    class Two(One):
        issuer = "https://two.example"

    assert One.validator() is One.validator()
    assert (One.validator().issuer, Two.validator().issuer) == (One.issuer, Two.issuer)


def test_a_client_that_acts_for_itself_is_someone() -> None:
    user = TokenUser(Bearer("", frozenset(), "robot", None, {}))
    assert (user.pk, user.username, user.is_authenticated) == ("robot", "robot", True)


def test_a_user_whom_introspection_names_is_someone() -> None:
    alice = TokenUser(Bearer("", frozenset(), "app", None, {"username": "alice"}))
    assert (alice.pk, alice.username) == ("alice", "alice")
    alice = TokenUser(Bearer("7", frozenset(), "app", None, {"username": "alice"}))
    assert (alice.pk, alice.username) == ("7", "alice")
    odd = TokenUser(Bearer("7", frozenset(), "app", None, {"username": 1}))
    assert odd.username == "7"


def test_a_view_says_which_scopes_it_requires(api: Client, issuer: Issuer) -> None:
    headers = bearing(issuer.token("read"))
    assert api.get("/open/", headers=headers).status_code == 200
    with pytest.raises(ImproperlyConfigured, match="required_scopes on Forgetful"):
        api.get("/forgetful/", headers=headers)
