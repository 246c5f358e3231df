"""One claimed attempt: send, classify, save."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import Error as DatabaseErrors
from django.views.decorators.debug import sensitive_variables

from .. import rescue, transport
from ..conf import get_settings
from ..exceptions import DecryptionError, OAuthTokenError, RefreshFailed, TokenNotConnected
from ..providers.wire import Answer, Meaning
from ..token_set import TokenSet
from .dates import SAVE_MARGIN, backoff, within_grace
from .errors import not_connected, provider_failing, reauthentication_required, timed_out
from .row import Need, Row

if TYPE_CHECKING:
    from ..providers.base import Provider

logger = logging.getLogger("oauth_tokens")

#: Seconds between attempts that never reached the provider: doubled each time, full jitter.
CONNECT_BACKOFF = 0.25
#: Pauses before a save is tried again on a fresh connection.
SAVE_PAUSES = (0.05, 0.25, 1.0)


class Attempt:
    """One claimed attempt: send, classify, save."""

    def __init__(
        self, row: Row, need: Need, provider: Provider, lease_ends: float, unknown: bool
    ) -> None:
        self.row = row
        self.need = need
        self.provider = provider
        self.lease_ends = lease_ends
        self.unknown = unknown
        self.version, self.grant_id = row.version, str(row.grant_id)
        self.started = time.monotonic()
        self.sent_at = row.now()

    def run(self) -> None:
        answer = self.send()
        if answer.meaning is Meaning.DEAD_GRANT:
            # Somebody may have rotated it meanwhile, or a late answer may have left a spare.
            before = self.row.version
            self.row.reload()
            if self.row.status == "revoking":
                raise not_connected(self.row.provider)
            if self.row.version > before and self.row.status == "active":
                return
            if self.row.use_spare():
                answer = self.send()
        self.conclude(answer)

    @sensitive_variables()
    def send(self) -> Answer:
        """POST once; only an attempt that certainly never reached the provider is repeated.

        The refresh token is decrypted here and known nowhere else: errors are raised elsewhere, and
        whatever records them may record the variables of their frames.
        """
        settings = get_settings()
        refresh_token = self.row.refresh_token or ""
        tries, code = 0, ""
        while True:
            tries += 1
            # Anew each time: a client's assertion is good for one attempt (RFC 7523 section 3).
            request = self.provider.refresh_request(
                refresh_token=refresh_token,
                scope=sorted(self.row.scopes),
                known=self.row.extra,
            )
            budget = self.lease_ends - time.monotonic() - SAVE_MARGIN
            if budget < settings.HTTP_TIMEOUT and tries > 1:
                return Answer(Meaning.TRANSIENT, code=code, outage=True)
            if budget <= 0:
                # Paused past the lease: somebody else may be sending by now.
                return Answer(Meaning.TRANSIENT, code="lease_lost")
            self.sent_at = self.row.now()
            try:
                response = transport.send(
                    request, timeout=settings.HTTP_TIMEOUT, latest=self.lease_ends - SAVE_MARGIN
                )
            except transport.TransportError as error:
                code = error.code
                if error.reached:
                    return Answer(Meaning.OUTCOME_UNKNOWN, code=code, outage=True)
                if tries >= settings.MAX_RETRIES:
                    return Answer(Meaning.TRANSIENT, code=code, outage=True)
                time.sleep(random.uniform(0, CONNECT_BACKOFF * 2**tries))  # noqa: S311
            else:
                return self.provider.classify(response, secrets=self.secrets())

    def secrets(self) -> Iterator[str]:
        """What must not stand in an error that is kept; opened only where there is one."""
        yield self.row.refresh_token or ""
        with suppress(DecryptionError):
            yield self.row.access_token

    def conclude(self, answer: Answer) -> None:
        row = self.row
        if answer.meaning is Meaning.SUCCESS and answer.token_set is not None:
            self.save(answer.token_set)
            row.circuit.succeeded()
        elif answer.meaning is Meaning.DEAD_GRANT:
            row.circuit.succeeded()
            code = "outcome_unknown" if self.unknown else "refresh_token_invalid"
            row.require_reauthentication(code, answer.description or answer.code)
            if row.status == "revoking":
                raise not_connected(row.provider)
            if row.status != "active":
                raise reauthentication_required(row)
            # This attempt took longer than its lease: whoever has the row by now decides.
            self.serve_or_raise(timed_out(row))
        elif answer.meaning is Meaning.OPERATOR_ERROR:
            row.circuit.failed(answer.code, operator=True)
            row.release_claim(backoff(0, answer.retry_after), keep=self.unknown)
            self.serve_or_raise(provider_failing(row, answer.code, True, None))
        else:
            self.fail(answer)

    def fail(self, answer: Answer) -> None:
        """Transient or unknown: back off, and let the access token serve while it lives."""
        row = self.row
        if answer.outage:
            row.circuit.failed(answer.code)
        delay = backoff(row.failure_count, answer.retry_after)
        unknown = self.unknown or answer.meaning is Meaning.OUTCOME_UNKNOWN
        if unknown and within_grace(row, self.provider):
            # Later, the provider would take the same refresh token for a replay.
            delay = min(delay, self.provider.rotation_grace / 4)
        row.record_failure(answer.code, answer.description, delay, keep_claim=unknown)
        if row.status == "revoking":
            raise not_connected(row.provider)
        if row.status != "active":
            raise reauthentication_required(row)
        self.serve_or_raise(
            RefreshFailed(
                f"{row.provider} could not refresh the token ({answer.code}). It is kept, and "
                f"tried again in {delay:.0f} s.",
                code=answer.code,
                provider=row.provider,
                retry_after=delay,
            )
        )

    def serve_or_raise(self, error: OAuthTokenError) -> None:
        if not self.need.served_by(self.row):
            raise error

    def save(self, token_set: TokenSet) -> None:
        """Persist before anything else is done with the answer; a failing database included."""
        row, trigger = self.row, self.need.trigger
        # A failed try may have read the row anew: what these tokens replace stays what it was.
        version, grant_id = self.version, self.grant_id
        try:
            for pause in (*SAVE_PAUSES, None):
                try:
                    duration = time.monotonic() - self.started
                    if row.version != version or not row.save_refreshed(
                        token_set, self.sent_at, trigger, duration
                    ):
                        row.keep_late(token_set, grant_id, self.sent_at)
                    return
                except DatabaseErrors as error:
                    logger.warning(
                        "oauth_tokens: saving a refreshed token of %s failed (%s)",
                        row.provider,
                        type(error).__name__,
                    )
                    if pause is not None:
                        time.sleep(pause)
                        row.drop_connection()
        except TokenNotConnected:
            raise
        except BaseException:
            # A time limit or an interrupt: the answer must outlive this process all the same.
            self.rescue(token_set, version, grant_id)
            raise
        self.rescue(token_set, version, grant_id)
        row.adopt(token_set, self.sent_at)

    def rescue(self, token_set: TokenSet, version: int, grant_id: str) -> None:
        kept = rescue.Kept(
            token_set=token_set,
            provider=self.provider.name,
            client_id=self.provider.client_id,
            version=version,
            grant_id=grant_id,
            sent_at=self.sent_at,
            url_variables=self.row.url_variables,
        )
        rescue.keep(self.row.key, kept)
