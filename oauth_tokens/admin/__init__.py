"""The admin: what is connected and in what state, for people who must never see a token."""

from ..apps import collector_at_rest

with collector_at_rest():
    from . import overview, records, tokens

__all__ = ["overview", "records", "tokens"]
