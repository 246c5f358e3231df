"""Authlib's issuer of JWT access tokens (RFC 9068), whose lifetime can be chosen."""

from __future__ import annotations

from typing import Any

from tests.support import jwt_server

authorization_server = jwt_server.authorization_server


class State(jwt_server.State):
    lifetime = 600

    def control(self, action: str, given: dict[str, Any]) -> Any:
        if action == "lifetime":
            self.lifetime = given["seconds"]
        return super().control(action, given)


def with_lifetime(issuer: str, state: State) -> Any:
    server = authorization_server(issuer, state)
    generator = server._token_generators["default"]
    generator.expires_generator = lambda *_: state.lifetime
    return server


def main() -> None:
    jwt_server.State = State
    jwt_server.authorization_server = with_lifetime
    jwt_server.main()
