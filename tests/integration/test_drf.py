"""Django REST framework views that need a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.urls import include, path
from django.utils.decorators import method_decorator
from pytest_django import Settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import api_view, permission_classes
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.answers import with_next
from oauth_tokens.contrib.drf import HasOAuthToken, exception_handler
from oauth_tokens.decorators import token_required
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.site import serve

HANDLER = "oauth_tokens.contrib.drf.exception_handler"


class Session(SessionAuthentication):
    """DRF's own, which knows no challenge: DRF turns its 401 into 403."""


class WithChallenge(BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        user = request._request.user
        return (user, None) if user.is_authenticated else None

    def authenticate_header(self, request: Any) -> str:
        return "Token"


class PermittedView(APIView):
    permission_classes = [HasOAuthToken("acme", scopes=["profile"])]

    def get(self, request: Any) -> Response:
        return Response({"token": request.oauth_token.access_token})

    post = get


class Permitted(ViewSet):
    permission_classes = [IsAdminUser | HasOAuthToken("acme", scopes="profile")]

    def list(self, request: Any) -> Response:
        return Response({"token": request.oauth_token.access_token})


@api_view(["GET"])
@permission_classes([AllowAny])
@token_required("acme", scopes=["profile"])
def decorated(request: Any) -> Response:
    return Response({"token": request.oauth_token.access_token})


class DecoratedMethod(APIView):
    @method_decorator(token_required("acme", scopes=["profile"]))
    def get(self, request: Any) -> Response:
        return Response({"token": request.oauth_token.access_token})


class Raising(APIView):
    def get(self, request: Any) -> Response:
        token = request.user.oauth_tokens.get_valid("acme", scopes=["profile"])
        return Response({"token": token.access_token})

    def post(self, request: Any) -> Response:
        get_user_model().objects.update(first_name="changed")
        return self.get(request)

    def delete(self, request: Any) -> Response:
        raise NotFound

    def put(self, request: Any) -> Response:
        raise exceptions.ProviderMisconfigured("Mend it.", provider="acme")


router = SimpleRouter()
router.register("viewset", Permitted, basename="viewset")
VIEWS = ["/permitted/", "/viewset/", "/decorated/", "/method/", "/raising/"]


@pytest.fixture
def api(
    user: AbstractUser, provider: Provider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> APIClient:
    """Alice's client. Like most API clients it accepts anything."""
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": HANDLER}
    for view in (PermittedView, Permitted, DecoratedMethod, Raising, decorated.cls):
        monkeypatch.setattr(view, "authentication_classes", [WithChallenge])
    serve(
        settings,
        path("permitted/", PermittedView.as_view()),
        path("decorated/", decorated),
        path("method/", DecoratedMethod.as_view()),
        path("raising/", Raising.as_view()),
        path("", include(router.urls)),
    )
    client = APIClient()
    client.force_login(user)
    return client


@pytest.mark.parametrize("where", VIEWS)
def test_a_valid_token_is_handed_to_the_view(api: APIClient, token: OAuthToken, where: str) -> None:
    assert api.get(where).json() == {"token": token.access_token}


@pytest.mark.parametrize("where", VIEWS)
def test_not_connected(api: APIClient, where: str) -> None:
    answer = api.get(where, headers={"referer": "http://testserver/app/"})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Connect"
    url = exceptions.connect_url("acme", () if where == "/raising/" else ["profile"]) or ""
    assert answer.json() == {
        "code": "not_connected",
        "detail": "The user has not connected acme. Send them to .connect_url.",
        "connect_url": "http://testserver" + with_next(url, "/app/"),
        "retry_after": None,
    }


@pytest.mark.parametrize("where", VIEWS)
def test_missing_scopes(api: APIClient, user: AbstractUser, provider: Provider, where: str) -> None:
    user.oauth_tokens.store("acme", provider.issue(scope="email"))
    answer = api.get(where)
    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient_scope"
    url = exceptions.connect_url("acme", ["profile"])
    assert answer.json()["connect_url"] == f"http://testserver{url}"


@pytest.mark.parametrize("where", VIEWS)
def test_a_provider_that_is_down(
    api: APIClient, token: OAuthToken, provider: Provider, where: str
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=503, headers={"Retry-After": "90"})
    answer = api.get(where)
    assert answer.status_code == 503
    assert answer.json()["code"] == "http_503"
    assert answer.json()["retry_after"] == int(answer["Retry-After"]) > 80


@pytest.mark.parametrize("where", ["/permitted/", "/viewset/"])
@pytest.mark.parametrize(("scheme", "status"), [(Session, 403), (WithChallenge, 401)])
def test_the_status_depends_on_the_authenticators_for_logins_alone(
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    scheme: type[BaseAuthentication],
    status: int,
) -> None:
    for view in (PermittedView, Permitted):
        monkeypatch.setattr(view, "authentication_classes", [scheme])
    assert api.get(where).status_code == 401
    assert APIClient().get(where).status_code == status


@pytest.mark.usefixtures("token")
def test_permissions_combine(api: APIClient, user: AbstractUser) -> None:
    OAuthToken.objects.update(scope="")
    assert api.get("/viewset/").status_code == 403
    user.is_staff = True
    user.save()
    with pytest.raises(AttributeError, match="oauth_token"):
        api.get("/viewset/")  # let in as an administrator, without a token


def test_a_permission_needs_no_handler_of_ours(api: APIClient, settings: Settings) -> None:
    settings.REST_FRAMEWORK = {}
    answer = api.get("/permitted/")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_connected")
    with pytest.raises(exceptions.TokenNotConnected):
        api.get("/raising/")


def test_the_middleware_answers_what_drf_leaves_alone(api: APIClient, settings: Settings) -> None:
    settings.REST_FRAMEWORK = {}
    middleware = "oauth_tokens.middleware.OAuthTokenMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    answer = api.get("/raising/", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_connected")


def test_the_handler_leaves_others_errors_to_others(api: APIClient) -> None:
    assert api.delete("/raising/").status_code == 404
    with pytest.raises(exceptions.ProviderMisconfigured):
        api.put("/raising/")


def enveloping(exc: Exception, context: dict[str, Any]) -> Response | None:
    """A site's own handler, which knows nothing of tokens."""
    response = exception_handler(exc, context)
    if response is not None:
        response.data = {"error": response.data}
    return response


def own_first(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The same, called by ours."""

    def own(exc: Exception, context: dict[str, Any]) -> Response:
        return Response({"error": exc.detail}, status=exc.status_code)  # type: ignore[attr-defined]

    return exception_handler(exc, context, otherwise=own)


@pytest.mark.parametrize("handler", [enveloping, own_first])
def test_a_sites_own_handler(
    api: APIClient, settings: Settings, handler: Callable[..., Any]
) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.{handler.__name__}"}
    answer = api.get("/raising/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_connected")


@pytest.mark.usefixtures("api")
def test_the_browsable_api(user: AbstractUser, provider: Provider, settings: Settings) -> None:
    """It asks for the permission again for each form on its page."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rest_framework"]
    browser = Client(headers={"accept": "text/html"})
    browser.force_login(user)
    page = browser.get("/permitted/")
    assert page.status_code == 401
    assert "http://testserver/oauth/acme/connect/" in page.content.decode()
    assert browser.get("/decorated/")["Location"].startswith("/oauth/acme/connect/?scope=profile")
    user.oauth_tokens.store("acme", provider.issue())
    assert "at-" in browser.get("/permitted/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_views_transaction_is_rolled_back(
    api: APIClient, user: AbstractUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert api.post("/raising/").status_code == 401
    user.refresh_from_db()
    assert user.first_name == ""
