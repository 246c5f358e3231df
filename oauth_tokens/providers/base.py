"""A provider as data: what it is called, where it is, and how it differs from the RFCs.

:class:`Provider` builds requests and reads answers and does no I/O, so that a new provider is
settings, not code: :class:`~.description.Description` has its fields.
"""

from __future__ import annotations

from .answers import Answers
from .requests import Requests


class Provider(Requests, Answers):
    """One provider as configured: ``OAUTH_TOKENS["PROVIDERS"][name]``, over its preset if any."""
