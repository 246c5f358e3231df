"""The same for Django REST framework (extra: drf).

::

    class Authentication(BearerAuthentication):
        issuer = "https://id.example"
        audience = "https://api.example"

    class Projects(APIView):
        authentication_classes = [Authentication]
        permission_classes = [HasScopes]
        required_scopes = ["projects"]
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission

from .errors import BearerError
from .tokens import Bearer
from .validator import Validator, parse_scopes


class BearerRefused(APIException):  # type: ignore[misc]
    """A :class:`.BearerError` as DRF answers it: status, body, ``WWW-Authenticate``."""

    def __init__(self, error: BearerError, realm: str) -> None:
        super().__init__(detail=error.body, code=error.error)
        self.status_code = error.status
        self.auth_header = error.challenge(realm)
        self.wait = error.retry_after


class TokenUser:
    """``request.user`` where the site has no user of its own for the token's subject."""

    is_authenticated = True
    is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, bearer: Bearer) -> None:
        # RFC 7662 section 2.2: an issuer may name the user instead of, or beside, the subject.
        told = bearer.claims.get("username")
        username = told if isinstance(told, str) else ""
        # What DRF throttles by: clients that act for themselves may have no subject.
        self.pk = self.id = bearer.subject or username or bearer.client_id
        self.username = username or self.pk

    def __str__(self) -> str:
        return self.username


class BearerAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Subclass it and set what :class:`.Validator` takes. ``request.auth`` is the ``Bearer``."""

    _validator: Validator

    @classmethod
    def validator(cls) -> Validator:
        """What verifies the tokens: one for each subclass, made of its attributes."""
        if "_validator" not in vars(cls):
            names = [name for name in signature(Validator).parameters if hasattr(cls, name)]
            cls._validator = Validator(**{name: getattr(cls, name) for name in names})
        return cls._validator

    def authenticate(self, request: Any) -> tuple[Any, Bearer] | None:
        """See Validator.authenticate(); None leaves a request without token to others."""
        validator = self.validator()
        try:
            bearer = validator.authenticate(request._request)
        except BearerError as error:
            if not error.error:
                return None
            raise BearerRefused(error, validator.realm) from None
        return self.get_user(bearer), bearer

    def get_user(self, bearer: Bearer) -> Any:
        """``request.user`` for a verified token. Override it to look the subject up."""
        return TokenUser(bearer)

    def authenticate_header(self, request: Any) -> str:
        """The challenge for a request without token (RFC 6750 section 3)."""
        return BearerError("", "").challenge(self.validator().realm)


class HasScopes(BasePermission):  # type: ignore[misc]
    """A token that was granted all of the view's ``required_scopes``, which may be empty.

    It raises the error itself, to name the scopes in the challenge, so put it last where several
    are combined. Users without token, of a login session for instance, don't pass.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether there is a token.

        Raises:
            BearerRefused: 403, it lacks a scope.
            ImproperlyConfigured: the view does not say what it requires.
        """
        required = getattr(view, "required_scopes", None)
        if required is None:
            raise ImproperlyConfigured(
                f"HasScopes needs required_scopes on {type(view).__name__}; [] takes any token."
            )
        bearer = request.auth
        if not isinstance(bearer, Bearer):
            return False
        try:
            bearer.require(parse_scopes(required))
        except BearerError as error:
            realm = request.successful_authenticator.validator().realm
            raise BearerRefused(error, realm) from None
        return True
