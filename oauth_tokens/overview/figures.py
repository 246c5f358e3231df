"""What an overview consists of: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is not as it should be.

    Arguments:
        code: a stable identifier.
        operator: whether nobody but the operator can mend it; else it is expected to pass.
        text, fix: what is wrong, and what to do.
        provider: whom it concerns, or "".
    """

    code: str
    operator: bool
    text: str
    fix: str
    provider: str = ""


@dataclass(slots=True)
class ProviderFigures:
    """A provider's tokens by state, and what became of its refreshes within 24 hours.

    Arguments:
        active: tokens in use.
        expired: tokens that have expired and cannot be refreshed, which no sweep has noticed yet.
        failing, failing_since: active tokens whose last refresh failed, and since when the first.
        expiring: active tokens whose refresh token dies within ``EXPIRING_DAYS``.
        unused: tokens that nobody has used for ``UNUSED_DAYS``.
        circuit_code, circuit_operator, circuit_since: why and since when it fails as a whole.
        refreshed, failed, ended: refreshes by outcome.
        p50, p95: seconds that a refresh took; None where there was none.
    """

    provider: str
    configured: bool = True
    active: int = 0
    expired: int = 0
    reauth_required: int = 0
    revoking: int = 0
    failing: int = 0
    failing_since: datetime | None = None
    expiring: int = 0
    unused: int = 0
    circuit_code: str = ""
    circuit_operator: bool = False
    circuit_since: datetime | None = None
    refreshed: int = 0
    failed: int = 0
    ended: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why ``count`` tokens of a provider need re-authentication."""

    provider: str
    code: str
    count: int


@dataclass(slots=True)
class Hour:
    """What became of the refreshes of one hour."""

    start: datetime
    refreshed: int = 0
    failed: int = 0
    ended: int = 0


@dataclass(slots=True)
class Sweep:
    """When the sweep last ran, how many tokens wait for it, and since when the first of them.

    The tokens of providers that fail as a whole, or are not configured, do not wait for it.
    """

    ran_at: datetime | None = None
    due: int = 0
    due_since: datetime | None = None


@dataclass(slots=True)
class Overview:
    """All figures.

    Arguments:
        at: the database's time.
        settings_known: False where the settings do not tell which providers there are.
        rescued: refreshed tokens that could not be saved and are kept aside.
        hours: by the hour, the current one last.
    """

    at: datetime
    settings_known: bool = True
    alarms: list[Alarm] = field(default_factory=list)
    providers: dict[str, ProviderFigures] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    sweep: Sweep = field(default_factory=Sweep)
    rescued: int = 0
    pending_revocations: int = 0
    hours: list[Hour] = field(default_factory=list)

    def total(self, name: str) -> int:
        """Sum of one figure over all providers."""
        return sum(getattr(figures, name) for figures in self.providers.values())

    def of(self, provider: str) -> ProviderFigures:
        """The figures of ``provider``, which is added where it is not there yet."""
        if provider not in self.providers:
            configured = not self.settings_known
            self.providers[provider] = ProviderFigures(provider, configured=configured)
        return self.providers[provider]
