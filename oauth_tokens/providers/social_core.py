"""A provider as a backend of social-core describes it: ``"social_core_backend"`` in its settings.

The backend is asked, without any I/O, what it would send, and what it answers is put into our
words. Settings of social-auth (``SOCIAL_AUTH_ASANA_KEY``, ``_SCOPE`` and so on) count as they do
there. What a backend does in code of its own between request and answer cannot be read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from .description import Description

#: What stands for each value while a backend is asked. Spelled as our own variables are, so that
#: whatever a backend builds of them is a template for us.
_CLIENT_ID, _SECRET, _REDIRECT_URI, _STATE = (
    "{client_id}",
    "{client_secret}",
    "{redirect_uri}",
    "{state}",
)
_CODE, _VERIFIER, _REFRESH_TOKEN, _TOKEN, _UID = (
    "{code}",
    "{code_verifier}",
    "{refresh_token}",
    "{token}",
    "{uid}",
)
_AUTHORIZATION = {
    "response_type": "code",
    "client_id": _CLIENT_ID,
    "redirect_uri": _REDIRECT_URI,
    "state": _STATE,
}
_CLIENT = {"client_id": _CLIENT_ID, "client_secret": _SECRET}
_EXCHANGE = {
    "grant_type": "authorization_code",
    "code": _CODE,
    "redirect_uri": _REDIRECT_URI,
    "code_verifier": _VERIFIER,
}
#: Ours to send, whatever the backend sends.
_OURS = {"scope", "nonce", "code_challenge", "code_challenge_method"}
#: Parts of the names of what has a column of its own, or is secret.
_NOT_KEPT = ("token", "expire", "scope", "secret", "password")
_DEFAULTS = {field.name: field.default for field in fields(Description)}
_STANDARD_HEADERS = ("Content-Type", "Accept")
#: What backends complete with settings that may be missing.
_WITH_SETTINGS = ("authorization_endpoint", "token_endpoint", "issuer", "token_headers")


class BackendUnusable(ValueError):
    """The class cannot be described by settings; ``fix`` is what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class _WouldAsk(Exception):
    """The backend wants to ask its provider over HTTP."""


class _Strategy:
    """What a backend asks for its settings, its login session and its request."""

    def __init__(self) -> None:
        self.session: dict[str, Any] = {}
        self.missing: list[str] = []

    def setting(self, name: str, default: Any = None, backend: Any = None) -> Any:
        if name in ("KEY", "SECRET"):
            return _CLIENT_ID if name == "KEY" else _SECRET
        return self.found(name, default, backend)

    def found(self, name: str, default: Any, backend: Any) -> Any:
        """The setting as social-auth looks for it."""
        from social_core.utils import setting_name

        own = setting_name(backend.name, name)
        for spelling in (own, setting_name(name), name):
            if hasattr(django_settings, spelling):
                return getattr(django_settings, spelling)
        if default is None:
            self.missing.append(own)
        return default

    def request_data(self, merge: bool = True) -> dict[str, str]:
        return {"code": _CODE, "state": _STATE}

    def absolute_uri(self, path: str | None = None) -> str | None:
        return path

    def session_get(self, name: str, default: Any = None) -> Any:
        return self.session.get(name, default)

    def session_set(self, name: str, value: Any) -> None:
        self.session[name] = value

    def random_string(self, length: int = 12, chars: str = "") -> str:
        return "x" * length


def read_backend(path: object) -> dict[str, Any]:
    """What a social-core backend says of its provider, in the words of our settings. No I/O.

    Arguments:
        path: dotted path of a subclass of ``social_core.backends.oauth.BaseOAuth2``.

    Raises:
        BackendUnusable: it is none, or does what settings cannot say.
    """
    strategy = _Strategy()
    backend_class = _import(path)
    try:
        backend = _instance(backend_class, strategy)
        values = {**_endpoints(backend), **_authorization(backend), **_token_requests(backend)}
        values |= {**_revocation(backend), **_answers(backend), **_identity(backend)}
        values |= _client(backend, strategy)
    except BackendUnusable:
        raise
    except Exception as error:  # noqa: BLE001
        # Whatever a backend lacks here, it computes in a way of its own.
        raise BackendUnusable(
            f"{path} cannot be asked what it sends ({type(error).__name__}).",
            f"Describe the provider by its endpoints or its issuer{_settings_hint(strategy)}.",
        ) from None
    if any("None" in str(values[key]) for key in _WITH_SETTINGS if key in values):
        raise BackendUnusable(
            f"{path} lacks settings.",
            f"Write the provider's endpoints into its description{_settings_hint(strategy)}.",
        )
    return {
        key: value
        for key, value in values.items()
        if value not in ("", {}, (), None) and value != _DEFAULTS[key]
    }


def _settings_hint(strategy: _Strategy) -> str:
    return f", or set {' or '.join(dict.fromkeys(strategy.missing))}" if strategy.missing else ""


def _import(path: object) -> Any:
    try:
        from social_core.backends.oauth import BaseOAuth2

        backend_class = import_string(str(path))
    except ImportError as error:
        raise BackendUnusable(
            f"{path!r} cannot be imported: {error}.",
            "Install social-auth-core, and name the class by its dotted path.",
        ) from None
    if not (isinstance(backend_class, type) and issubclass(backend_class, BaseOAuth2)):
        raise BackendUnusable(
            f"{path} is no subclass of social_core.backends.oauth.BaseOAuth2.",
            "Name a backend of OAuth 2.0: no other describes a provider.",
        )
    if not backend_class.STATE_PARAMETER:
        raise BackendUnusable(
            f"{path} says that its provider does not send state back, which connecting needs "
            "(RFC 6749 section 10.12).",
            "Describe the provider's OAuth 2.0 as it is today, by its endpoints.",
        )
    return backend_class


def _instance(backend_class: Any, strategy: _Strategy) -> Any:
    backend = backend_class(strategy, redirect_uri=_REDIRECT_URI)
    backend.REDIRECT_STATE = False
    backend.request = _refuse
    backend._oauth2_transaction = {"state": _STATE, "code_verifier": _VERIFIER}
    strategy.session[backend.transaction_key(_STATE)] = backend._oauth2_transaction
    # Where the backend only associates, it finds its state here.
    strategy.session[f"{backend.name}_state"] = {"state": _STATE}
    strategy.session[f"{backend.name}_code_verifier"] = _VERIFIER
    return backend


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise _WouldAsk


def _is_oidc(backend: Any) -> bool:
    from social_core.backends.open_id_connect import OpenIdConnectAuth

    return isinstance(backend, OpenIdConnectAuth)


def _told(method: Any, *arguments: Any) -> str:
    """An address, or "" where the backend would look it up in its provider's metadata."""
    try:
        return str(method(*arguments) or "")
    except _WouldAsk:
        return ""


def _endpoints(backend: Any) -> dict[str, Any]:
    token, refresh = _told(backend.access_token_url), _told(backend.refresh_token_url)
    values = {
        "authorization_endpoint": _told(backend.authorization_url),
        "token_endpoint": token,
        "refresh_endpoint": "" if refresh == token else refresh,
    }
    if _is_oidc(backend):
        values["issuer"] = str(backend.oidc_endpoint() or "").rstrip("/")
        values["userinfo_endpoint"] = _told(backend.userinfo_url)
    return values


def _authorization(backend: Any) -> dict[str, Any]:
    from social_core.backends.oauth import BaseOAuth2PKCE

    uses_pkce = isinstance(backend, BaseOAuth2PKCE) and bool(
        backend.setting("USE_PKCE", backend.DEFAULT_USE_PKCE)
    )
    values: dict[str, Any] = {
        "scope": tuple(" ".join(backend.get_scope()).split()),
        # Some write the separator as it looks in a query.
        "scope_separator": {"+": " ", "%20": " "}.get(
            backend.SCOPE_SEPARATOR, backend.SCOPE_SEPARATOR
        ),
        "scope_parameter": backend.SCOPE_PARAMETER_NAME,
        "pkce": uses_pkce,
    }
    if uses_pkce:
        method = backend.setting(
            "PKCE_CODE_CHALLENGE_METHOD", backend.PKCE_DEFAULT_CODE_CHALLENGE_METHOD
        )
        values["code_challenge_methods_supported"] = ("plain",) if method == "plain" else ()
    extra = {key: str(value) for key, value in backend.auth_extra_arguments().items()}
    if _is_oidc(backend):
        values["nonce"] = bool(backend.USE_NONCE)
        prompt = backend.setting("PROMPT", backend.PROMPT or "")
        extra = {**({"prompt": prompt} if prompt else {}), **extra}
        return {**values, "authorization_params": extra}
    names, own = _compared(backend.auth_params(_STATE), _AUTHORIZATION)
    return {
        **values,
        "authorization_parameter_names": names,
        "authorization_params": {**own, **extra},
    }


def _token_requests(backend: Any) -> dict[str, Any]:
    method = _auth_method(backend)
    in_body = method["token_endpoint_auth_method"] == "client_secret_post"
    client = _CLIENT if in_body else {}
    exchange = {**backend.auth_complete_params(_STATE)}
    refresh = {**backend.refresh_token_params(_REFRESH_TOKEN)}
    expected = dict(_EXCHANGE)
    if "code_verifier" not in exchange:
        del expected["code_verifier"]
    names, token_params = _compared(exchange, {**expected, **client})
    grant = {"grant_type": refresh.get("grant_type"), "refresh_token": _REFRESH_TOKEN}
    refresh_names, refresh_params = _compared(refresh, {**grant, **client})
    values = {
        **method,
        "token_method": backend.ACCESS_TOKEN_METHOD,
        "token_body": backend.ACCESS_TOKEN_PAYLOAD,
        "token_parameter_names": names,
        "token_params": token_params,
        "refresh_grant_type": str(grant["grant_type"]),
        "refresh_parameter_names": {
            key: name for key, name in refresh_names.items() if names.get(key, key) != name
        },
        "refresh_params": refresh_params,
    }
    if backend.REFRESH_TOKEN_METHOD != backend.ACCESS_TOKEN_METHOD:
        values["refresh_method"] = backend.REFRESH_TOKEN_METHOD
    both = {"refresh_token": "R", "access_token": "A"}
    if backend.get_refresh_token(both) == "A":
        values["refresh_with"] = "access_token"
    return values


def _auth_method(backend: Any) -> dict[str, Any]:
    """How the backend authenticates at the token endpoint (RFC 6749 section 2.3.1)."""
    headers = {name: _text(value) for name, value in backend.auth_headers().items()}
    header = headers.pop("Authorization", "")
    values = {
        "user_agent": headers.pop("User-Agent", ""),
        "token_headers": {k: v for k, v in headers.items() if k not in _STANDARD_HEADERS},
    }
    try:
        in_header = backend.auth_complete_credentials() or backend.refresh_token_auth()
    except _WouldAsk:
        # It takes what its provider's metadata offers, and so do we.
        backend.use_basic_auth = lambda: True
        return {**values, "token_endpoint_auth_method": ""}
    basic = base64.b64encode(f"{_CLIENT_ID}:{_SECRET}".encode()).decode()
    if header not in ("", f"Basic {basic}"):
        raise BackendUnusable(
            f"{type(backend).__qualname__} authenticates in a way of its own.",
            "Describe the provider by its endpoints, with its token_endpoint_auth_method.",
        )
    if header or in_header:
        # It does not form-encode what it joins.
        values["basic_encoding"] = "none"
        return {**values, "token_endpoint_auth_method": "client_secret_basic"}
    has_secret = _SECRET in backend.auth_complete_params(_STATE).values()
    method = "client_secret_post" if has_secret else "none"
    return {**values, "token_endpoint_auth_method": method}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _compared(
    sent: Mapping[str, Any], expected: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The backend's own names for what is ``expected``, and what it sends beyond that."""
    by_value = {value: key for key, value in sent.items() if isinstance(value, str)}
    names = {
        key: "" if key not in sent and value not in by_value else by_value.get(value, key)
        for key, value in expected.items()
    }
    known = {*names.values(), *_OURS}
    more = {
        key: str(value)
        for key, value in sent.items()
        if key not in known and value is not None and value not in _CLIENT.values()
    }
    return {key: name for key, name in names.items() if name != key}, more


def _revocation(backend: Any) -> dict[str, Any]:
    url = _told(backend.revoke_token_url, _TOKEN, _UID)
    params, headers = (
        {key: _text(value) for key, value in method(_TOKEN, _UID).items()}
        for method in (backend.revoke_token_params, backend.revoke_token_headers)
    )
    authorization = headers.get("Authorization", "")
    if not url or _UID in (url + str(params)):
        # An address of its own for each user cannot be said.
        return {}
    if _TOKEN not in (url + authorization + str(params)):
        # It forgets to say which token; RFC 7009 knows how.
        return {"revocation_endpoint": url}
    names, _more = _compared(params, {"token": _TOKEN})
    names |= {key: "" for key in ("client_id", "token_type_hint") if key not in params}
    method = "none"
    if authorization == f"Bearer {_TOKEN}":
        method = "bearer"
    elif authorization.startswith("Basic "):
        method = "client_secret_basic"
    elif _SECRET in params.values():
        method = "client_secret_post"
    return {
        "revocation_endpoint": url,
        "revocation_method": backend.REVOKE_TOKEN_METHOD,
        "revocation_body": "form" if params else "none",
        "revocation_auth_method": method,
        "revocation_parameter_names": names,
        # The only kind that social-core revokes.
        "revocation_token": "access_token",
    }


def _answers(backend: Any) -> dict[str, Any]:
    """``EXTRA_DATA``: names, or tuples that begin with one, of what is worth keeping."""
    names = [e if isinstance(e, str) else e[0] for e in backend.EXTRA_DATA or ()]
    kept = (name for name in names if not any(part in name.lower() for part in _NOT_KEPT))
    return {"metadata_fields": tuple(dict.fromkeys(kept))}


def _identity(backend: Any) -> dict[str, Any]:
    """Who it is; elsewhere than in an id_token, only the backend's own code knows."""
    values = {"label": backend.title or ""}
    if _is_oidc(backend):
        values["account_id_from"] = f"id_token.{backend.id_key()}"
    return values


def _client(backend: Any, strategy: _Strategy) -> dict[str, Any]:
    """``SOCIAL_AUTH_<NAME>_KEY`` and ``_SECRET``, where they are set, and what it is called."""
    return {
        "aliases": (backend.name,),
        "client_id": strategy.found("KEY", "", backend),
        "client_secret": strategy.found("SECRET", "", backend),
    }
