"""Signals, sent after commit with ``send_robust``.

Except for ``provider_failing`` the sender is :class:`oauth_tokens.OAuthToken` and ``token`` the
instance. No argument ever holds the text of a token.

=====================  ================================================================
``token_stored``       ``created`` (bool): a user connected, reconnected or re-consented
``token_refreshed``    ``trigger`` (str: lazy, sweep, forced, unauthorized, restored),
                       ``duration`` (s, of the whole refresh)
``refresh_failed``     ``code`` (str), ``retryable`` (bool)
``reauth_required``    ``code`` (str); once per transition into that state
``token_disconnected`` ``user``, ``provider``
``provider_failing``   sender: the provider's name; ``code`` (str); once per outage
=====================  ================================================================
"""

from __future__ import annotations

from django.dispatch import Signal

token_stored = Signal()
token_refreshed = Signal()
refresh_failed = Signal()
reauth_required = Signal()
token_disconnected = Signal()
provider_failing = Signal()
