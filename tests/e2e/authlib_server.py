"""Authlib's authorization server in a process of its own, on Flask, with its state in memory.

Refresh tokens rotate, and one that is seen again ends its family (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, Response, jsonify, request
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.e2e.credentials import CLIENT_ID, CLIENT_SECRET, JWT_CLIENT_ID, PUBLIC_KEY, REDIRECT_URI

SCOPES = {"profile", "projects"}


@dataclass
class Client(ClientMixin):
    client_id: str
    method: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return REDIRECT_URI

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(sorted(SCOPES & set((scope or "").split())))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, CLIENT_SECRET)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):
    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):
    client_id: str
    access_token: str
    refresh_token: str
    scope: str
    expires_in: int
    family: list[Token] = field(repr=False)
    issued_at: float = field(default_factory=time.time)
    rotated: bool = False
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return self.expires_in

    def is_expired(self) -> bool:
        return time.time() > self.issued_at + self.expires_in

    def is_revoked(self) -> bool:
        return self.revoked

    def end_family(self) -> None:
        for token in self.family:
            token.revoked = True


CLIENTS = {
    CLIENT_ID: Client(CLIENT_ID, "client_secret_post"),
    JWT_CLIENT_ID: Client(JWT_CLIENT_ID, JWTBearerClientAssertion.CLIENT_AUTH_METHOD),
}
CODES: dict[str, Code] = {}
TOKENS: list[Token] = []
SEEN_JTI: set[str] = set()


def find(value: str) -> Token | None:
    return next((t for t in TOKENS if value in (t.access_token, t.refresh_token)), None)


def save_token(response: dict[str, Any], asked: Any) -> None:
    before = asked.refresh_token
    token = Token(
        client_id=asked.client.client_id,
        access_token=response["access_token"],
        refresh_token=response["refresh_token"],
        scope=response["scope"],
        expires_in=response["expires_in"],
        family=before.family if before else [],
    )
    token.family.append(token)
    TOKENS.append(token)


class AuthorizationCode(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_assertion_jwt"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        CODES[code] = Code(
            request.client.client_id,
            request.payload.redirect_uri,
            request.payload.scope,
            data.get("code_challenge"),
            data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found = CODES.get(code)
        return found if found and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        for value, code in list(CODES.items()):
            if code is authorization_code:
                del CODES[value]

    def authenticate_user(self, authorization_code: Code) -> str:
        return "alice"


class RefreshToken(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_assertion_jwt"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        token = find(refresh_token)
        if token is not None and token.rotated:
            token.end_family()
        return None if token is None or token.revoked else token

    def authenticate_user(self, refresh_token: Token) -> str:
        return "alice"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.rotated = True


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_post", "client_assertion_jwt"]

    def query_token(self, token_string: str, token_type_hint: str) -> Token | None:
        return find(token_string)

    def revoke_token(self, token: Token, request: Any) -> None:
        token.end_family()


class Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_post", "client_assertion_jwt"]

    def query_token(self, token_string: str, token_type_hint: str) -> Token | None:
        return find(token_string)

    def check_permission(self, token: Token, client: Client, request: Any) -> bool:
        return token.check_client(client)

    def introspect_token(self, token: Token) -> dict[str, Any]:
        return {"active": not token.revoked, "scope": token.scope}


class Assertion(JWTBearerClientAssertion):
    def get_audiences(self) -> list[str]:
        return [request.host_url.rstrip("/")]

    def validate_jti(self, claims: Any, jti: str) -> bool:
        fresh = jti not in SEEN_JTI
        SEEN_JTI.add(jti)
        return fresh

    def resolve_client_public_key(self, client: Client) -> KeySet:
        return KeySet([ECKey.import_key(PUBLIC_KEY, {"kid": "e2e"})])


class Issuer(IssuerParameter):
    def get_issuer(self) -> str:
        return request.host_url.rstrip("/")


def application() -> Flask:
    app = Flask(__name__)
    app.config["OAUTH2_SCOPES_SUPPORTED"] = sorted(SCOPES)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    server = AuthorizationServer(app, CLIENTS.get, save_token)
    server.register_grant(AuthorizationCode, [CodeChallenge(required=True)])
    server.register_grant(RefreshToken)
    server.register_endpoint(Revocation)
    server.register_endpoint(Introspection)
    server.register_extension(Issuer())
    server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())

    @app.get("/authorize")
    def authorize() -> Response:
        """Alice consents at once."""
        grant = server.get_consent_grant(end_user="alice")
        return server.create_authorization_response(grant_user="alice", grant=grant)

    @app.post("/token")
    def token() -> Response:
        return server.create_token_response()

    @app.post("/revoke")
    def revoke() -> Response:
        return server.create_endpoint_response(Revocation.ENDPOINT_NAME)

    @app.post("/introspect")
    def introspect() -> Response:
        return server.create_endpoint_response(Introspection.ENDPOINT_NAME)

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> Response:
        issuer = request.host_url.rstrip("/")
        return jsonify(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            revocation_endpoint=f"{issuer}/revoke",
            introspection_endpoint=f"{issuer}/introspect",
            scopes_supported=sorted(SCOPES),
            code_challenge_methods_supported=["S256"],
            token_endpoint_auth_methods_supported=["client_secret_post", "private_key_jwt"],
            authorization_response_iss_parameter_supported=True,
        )

    return app


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


def main() -> None:
    server = make_server("127.0.0.1", 0, application(), threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main()
