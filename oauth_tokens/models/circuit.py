"""The circuit of a provider: who stops asking a provider that is failing as a whole."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import Error as DatabaseErrors
from django.db import models, transaction
from django.db.models import Case, F, Q, Value, When
from django.utils.translation import gettext_lazy as _

from .. import signals

if TYPE_CHECKING:
    from .transitions import Transitions

logger = logging.getLogger("oauth_tokens")

#: Failures in a row, each within WINDOW seconds of the one before, that open the circuit.
OPENS_AFTER = 10
#: The same for errors that the operator has to mend. The client's own credentials are the same for
#: all rows; other refusals may be due to one row, which alone must not shut out the others.
OPERATOR_OPENS_AFTER = 3
CREDENTIALS_REFUSED = "invalid_client"
WINDOW = 60.0
#: Seconds until the first probe, and the most between two.
FIRST_PROBE = 15.0
LAST_PROBE = 120.0
#: Seconds for which a process believes what it read: refreshes must not pay a query for it.
BELIEVED_FOR = 2.0


class Verdict(NamedTuple):
    """Whether the provider may be asked, and if not, why and for how many seconds."""

    allowed: bool
    code: str = ""
    operator: bool = False
    retry_after: float = 0.0


_ALLOWED = Verdict(True)
_cache: dict[tuple[str, str], tuple[float, ProviderCircuit | None]] = {}


class ProviderCircuit(models.Model):
    """One provider's health. No row, or ``opened_at`` empty: all is well."""

    provider = models.CharField(_("provider"), max_length=64, unique=True)
    code = models.CharField(_("code"), max_length=64, blank=True)
    operator = models.BooleanField(_("the operator has to act"), default=False)
    failure_count = models.PositiveIntegerField(_("failures in a row"), default=0)
    failed_at = models.DateTimeField(_("last failure"), null=True)
    opened_at = models.DateTimeField(_("failing since"), null=True)
    probe_at = models.DateTimeField(_("next attempt"), null=True)

    class Meta:
        verbose_name = _("provider circuit")
        verbose_name_plural = _("provider circuits")

    def __str__(self) -> str:
        return self.provider

    @classmethod
    def verdict(cls, provider: str, now: datetime, using: str, *, probe: bool = True) -> Verdict:
        """Whether ``provider`` may be asked now. Of many callers one is let through to probe.

        Arguments:
            now: by the database's clock.
            probe: whether the caller is going to ask the provider if it may.
        """
        circuit = cls._read(provider, using)
        if circuit is None or circuit.opened_at is None or circuit.probe_at is None:
            return _ALLOWED
        if probe and circuit.probe_at <= now:
            claimed = cls._base_manager.using(using).filter(
                pk=circuit.pk, probe_at=circuit.probe_at, opened_at__isnull=False
            )
            mine = claimed.update(probe_at=now + timedelta(seconds=FIRST_PROBE))
            cls._forget(provider, using)
            if mine:
                return _ALLOWED
        wait = max((circuit.probe_at - now).total_seconds(), 1.0)
        return Verdict(False, circuit.code, circuit.operator, wait)

    @classmethod
    def succeeded(cls, provider: str, using: str) -> None:
        """The provider gave a proper answer: close the circuit, if it is open."""
        circuit = cls._read(provider, using)
        if circuit is None or not circuit.failure_count:
            return
        cls._base_manager.using(using).filter(pk=circuit.pk).update(
            code="", operator=False, failure_count=0, opened_at=None, probe_at=None
        )
        cls._forget(provider, using)

    @classmethod
    def failed(
        cls, provider: str, code: str, now: datetime, using: str, *, operator: bool = False
    ) -> bool:
        """Count a failure of the provider as a whole.

        Returns:
            True for the one failure with which an outage begins.
        """
        rows = cls._base_manager.using(using)
        circuit, _created = rows.get_or_create(provider=provider)
        recent = Q(failed_at__gt=now - timedelta(seconds=WINDOW)) | Q(opened_at__isnull=False)
        with transaction.atomic(using=using):
            rows.filter(pk=circuit.pk).update(
                failure_count=Case(When(recent, then=F("failure_count") + 1), default=Value(1)),
                failed_at=now,
                code=code,
                operator=operator,
            )
            count = rows.values_list("failure_count", flat=True).get(pk=circuit.pk)
            limit = OPENS_AFTER
            if operator:
                limit = 1 if code == CREDENTIALS_REFUSED else OPERATOR_OPENS_AFTER
            over = count - limit + 1
            opened = False
            if over > 0:
                pause = min(FIRST_PROBE * 2 ** min(over - 1, 10), LAST_PROBE)
                probe_at = now + timedelta(seconds=pause)
                shut = rows.filter(pk=circuit.pk, opened_at__isnull=True)
                opened = bool(shut.update(opened_at=now, probe_at=probe_at))
                if not opened:
                    rows.filter(pk=circuit.pk).update(probe_at=probe_at)
        cls._forget(provider, using)
        return opened

    @classmethod
    def open_circuits(cls, using: str) -> list[ProviderCircuit]:
        """The providers that are failing now."""
        return list(cls._base_manager.using(using).filter(opened_at__isnull=False))

    @classmethod
    def _read(cls, provider: str, using: str) -> ProviderCircuit | None:
        until, circuit = _cache.get((using, provider), (0.0, None))
        if time.monotonic() >= until:
            circuit = cls._base_manager.using(using).filter(provider=provider).first()
            _cache[using, provider] = (time.monotonic() + BELIEVED_FOR, circuit)
        return circuit

    @staticmethod
    def _forget(provider: str, using: str) -> None:
        _cache.pop((using, provider), None)


class RowCircuit:
    """The circuit of a row's provider, on the row's connection and by its clock."""

    def __init__(self, row: Transitions) -> None:
        self.row = row

    def verdict(self, *, probe: bool = True) -> Verdict:
        row = self.row
        return ProviderCircuit.verdict(row.provider, row.now(), row.database, probe=probe)

    def succeeded(self) -> None:
        try:
            ProviderCircuit.succeeded(self.row.provider, self.row.database)
        except DatabaseErrors:
            # The answer itself has been saved or rescued; the circuit closes with the next one.
            logger.warning("The circuit of %s could not be closed", self.row.provider)

    def failed(self, code: str, *, operator: bool = False) -> None:
        row = self.row
        if ProviderCircuit.failed(row.provider, code, row.now(), row.database, operator=operator):
            row._later(lambda: signals.provider_failing.send_robust(sender=row.provider, code=code))


def forget_all() -> None:
    """Read every circuit anew (tests that share a process but not a database)."""
    _cache.clear()
