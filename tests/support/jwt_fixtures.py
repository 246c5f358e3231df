"""Fixtures around :class:`tests.support.jwt_server.Issuer`, for modules of tests to take over::

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oauth_tokens import jwks
from tests.support.jwt_server import Issuer


@pytest.fixture(scope="module")
def issuer_process() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture
def issuer(issuer_process: Issuer) -> Iterator[Issuer]:
    """An issuer that behaves, and whose keys nobody knows yet."""
    jwks.forget_all()
    issuer_process.reset()
    yield issuer_process
    issuer_process.reset()
    jwks.forget_all()
