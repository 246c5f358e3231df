"""The columns of a stored token set, its secrets and its state in time."""

from __future__ import annotations

import copy
import time
import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..conf import get_settings
from ..encryption import associated_data, get_keyring
from ..refresh import threshold


def new_grant_id() -> uuid.UUID:
    """Names one authorization by the user, across all refreshes of its tokens."""
    return uuid.uuid4()


class StoredTokenSet(models.Model):
    """What the database holds of a token set, and what can be told from it.

    The secret columns hold ciphertext; each is decrypted on access to its property and never else.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("connected")
        REAUTH_REQUIRED = "reauth_required", _("needs re-authentication")
        REVOKING = "revoking", _("being revoked")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        # The unique constraint begins with it; one index less to write at each refresh.
        db_index=False,
        related_name="oauth_tokens",
    )
    provider = models.CharField(_("provider"), max_length=64)
    account_id = models.CharField(
        _("account id"),
        max_length=255,
        blank=True,
        help_text=_("Which of the user's accounts at the provider; empty where there is one."),
    )
    account_label = models.CharField(_("account"), max_length=255, blank=True)
    client_id = models.CharField(_("client id"), max_length=255, blank=True)
    token_type = models.CharField(_("token type"), max_length=64, default="Bearer")
    scope = models.TextField(_("granted scopes"), blank=True)
    requested_scope = models.TextField(_("requested scopes"), blank=True)
    extra = models.JSONField(_("extra"), default=dict, blank=True)

    encrypted_access_token = models.BinaryField()
    encrypted_refresh_token = models.BinaryField(null=True)
    encrypted_id_token = models.BinaryField(null=True)
    encrypted_spare_refresh_token = models.BinaryField(null=True)

    issued_at = models.DateTimeField(_("issued"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    refresh_token_expires_at = models.DateTimeField(_("refresh token dies"), null=True, blank=True)
    refresh_at = models.DateTimeField(_("next refresh"), null=True, blank=True)
    #: To the day only: whoever uses a token must not pay a write for it.
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_refreshed_at = models.DateTimeField(_("last refresh"), null=True, blank=True)

    status = models.CharField(
        _("state"), max_length=16, choices=Status.choices, default=Status.ACTIVE
    )
    error_code = models.CharField(_("error"), max_length=64, blank=True)
    error_description = models.CharField(_("error in words"), max_length=255, blank=True)
    failure_count = models.PositiveIntegerField(_("failures in a row"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True)

    #: The generation of the token set: what compare-and-set looks at.
    version = models.PositiveIntegerField(_("version"), default=1)
    grant_id = models.UUIDField(default=new_grant_id, editable=False)
    attempt_id = models.CharField(max_length=32, null=True, blank=True, editable=False)  # noqa: DJ001
    attempt_started_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempt_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    created_at = models.DateTimeField(_("connected"))
    updated_at = models.DateTimeField(_("updated"))

    #: Ciphertext; never loaded where tokens are listed.
    SECRET_COLUMNS: ClassVar[tuple[str, ...]] = (
        "encrypted_access_token",
        "encrypted_refresh_token",
        "encrypted_id_token",
        "encrypted_spare_refresh_token",
    )
    #: What save() writes of an existing row where it is not told: an instance read earlier must not
    #: undo what has happened since.
    EDITABLE: ClassVar[tuple[str, ...]] = (
        "account_label",
        "extra",
        "expires_at",
        "refresh_token_expires_at",
    )
    #: What save() never writes.
    PROTECTED: ClassVar[frozenset[str]] = frozenset(
        {
            *SECRET_COLUMNS,
            "version",
            "grant_id",
            "attempt_id",
            "attempt_started_at",
            "attempt_expires_at",
        }
    )

    class Meta:
        abstract = True

    #: (database's clock, monotonic clock) at which this instance was read.
    _read_at: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The time by the database's clock where this row was read with it, else by ours."""
        if self._read_at is None:
            return timezone.now()
        then, monotonic = self._read_at
        return then + timedelta(seconds=time.monotonic() - monotonic)

    def read_at(self, now: datetime, monotonic: float) -> None:
        """Note what the database's clock said when this row was read."""
        self._read_at = (now, monotonic)

    def copy(self) -> Self:
        """The same row as another instance."""
        twin = type(self)()
        twin.take(self)
        return twin

    def take(self, other: Self) -> None:
        """Become as ``other``, another instance of the same row, is."""
        for field in self._meta.concrete_fields:
            setattr(self, field.attname, getattr(other, field.attname))
        self.extra = copy.deepcopy(other.extra)
        self._read_at, self._state.db = other._read_at, other._state.db
        self._state.adding = False

    # Secrets

    @property
    def access_token(self) -> str:
        """Decrypted on access. Raises: DecryptionError."""
        return self._open("encrypted_access_token")

    @property
    def refresh_token(self) -> str | None:
        """Decrypted on access. Raises: DecryptionError."""
        return self._open("encrypted_refresh_token") if self.has_refresh_token else None

    @property
    def id_token(self) -> str | None:
        """OpenID Connect ID token, decrypted on access. Raises: DecryptionError."""
        return self._open("encrypted_id_token") if self.encrypted_id_token else None

    @property
    def authorization(self) -> str:
        """Value of the Authorization header (RFC 6750 section 2.1)."""
        return f"{self.token_type} {self.access_token}"

    @sensitive_variables()
    def _seal(self, column: str, text: str) -> bytes:
        return get_keyring().encrypt(text, self.associated_data(column))

    def _open(self, column: str) -> str:
        return get_keyring().decrypt(getattr(self, column), self.associated_data(column))

    def associated_data(self, column: str) -> bytes:
        """Binds a ciphertext to this row and ``column``."""
        return associated_data(self.pk, self.user_id, self.provider, column)

    # State

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes as granted."""
        return frozenset(self.scope.split())

    @property
    def url_variables(self) -> dict[str, str]:
        """Values of the variables in the provider's addresses, e.g. the user's subdomain."""
        values: dict[str, str] = self.extra.get("url_variables", {})
        return values

    @property
    def has_refresh_token(self) -> bool:
        """Whether there is one to refresh with."""
        return bool(self.encrypted_refresh_token)

    @property
    def seconds_left(self) -> float:
        """Seconds until the access token expires; infinite where it does not."""
        if self.expires_at is None:
            return float("inf")
        return (self.expires_at - self.now()).total_seconds()

    @property
    def leeway(self) -> float:
        """Seconds before expiry at which it counts as expired: EXPIRY_LEEWAY, but never more than
        half a lifetime, or a short-lived token would be expired when it is issued."""
        wanted = get_settings().EXPIRY_LEEWAY
        if self.expires_at is None:
            return wanted
        return min(wanted, 0.5 * (self.expires_at - self.issued_at).total_seconds())

    def attainable(self, seconds: float) -> float:
        """``seconds``, but never more than a token of this lifetime can offer: asking for more
        would refresh at each call."""
        if self.expires_at is None:
            return seconds
        return min(seconds, 0.9 * (self.expires_at - self.issued_at).total_seconds())

    @property
    def threshold(self) -> float:
        """Seconds before expiry at which it counts as stale."""
        return threshold(self.issued_at, self.expires_at)

    @property
    def is_expired(self) -> bool:
        """Whether the access token is within EXPIRY_LEEWAY of its expiry."""
        return self.seconds_left <= self.leeway

    @property
    def needs_refresh(self) -> bool:
        """Whether the access token is expired or about to be."""
        return self.seconds_left <= max(self.leeway, self.threshold)

    @property
    def is_refresh_token_expired(self) -> bool:
        """Whether there is no refresh token, or its known end has come."""
        end = self.refresh_token_expires_at
        return not self.has_refresh_token or (end is not None and end <= self.now())

    @property
    def seconds_to_retry(self) -> float:
        """Seconds for which a transient failure is still backing off; 0 where none is."""
        if self.retry_at is None:
            return 0.0
        return max(0.0, (self.retry_at - self.now()).total_seconds())

    @property
    def has_live_claim(self) -> bool:
        """Whether an attempt is under way."""
        ends = self.attempt_expires_at
        return bool(self.attempt_id) and ends is not None and ends >= self.now()

    @property
    def has_lapsed_claim(self) -> bool:
        """Whether the outcome of the last attempt is unknown."""
        return bool(self.attempt_id) and not self.has_live_claim

    @property
    def seconds_since_attempt(self) -> float:
        """Seconds since the attempt whose outcome is unknown began."""
        if self.attempt_started_at is None:
            return float("inf")
        return (self.now() - self.attempt_started_at) / timedelta(seconds=1)
