"""The operator's overview: every figure right, linked to the rows behind it, and cheap."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, rescue, upkeep
from oauth_tokens.models import PendingRevocation, ProviderCircuit, TaskRun
from oauth_tokens.overview import collect
from oauth_tokens.providers.registry import get_provider
from tests.support.admin import operator, page
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age, kept

PAGE = "/admin/oauth_tokens/taskrun/"
Configure = Callable[..., None]


@pytest.fixture
def add(user: AbstractUser, provider: Provider) -> Callable[..., OAuthToken]:
    """Another token of Alice's with these values; ``name`` may be a provider without settings."""

    def create(name: str = "acme", **values: Any) -> OAuthToken:
        number = str(OAuthToken.objects.count())
        row = user.oauth_tokens.store("acme", provider.issue(), account_id=number)
        # Its way here is no history of this test's.
        TokenEvent.objects.all().delete()
        OAuthToken.objects.filter(pk=row.pk).update(provider=name, **values)
        return OAuthToken.objects.get(pk=row.pk)

    return create


def swept(**ago: float) -> None:
    TaskRun.objects.update_or_create(
        task=upkeep.SWEEP, defaults={"ran_at": timezone.now() - timedelta(**ago)}
    )


def event(kind: str, count: int = 1, name: str = "acme", **values: Any) -> None:
    created = timezone.now() - timedelta(hours=values.pop("hours", 0.0))
    TokenEvent.objects.bulk_create(
        TokenEvent(provider=name, kind=kind, created_at=created, **values) for _ in range(count)
    )


def codes() -> list[str]:
    return [alarm.code for alarm in collect().alarms]


# What is counted


def test_tokens_by_provider_and_cause(add: Callable[..., OAuthToken]) -> None:
    now = timezone.now()
    long_ago = now - timedelta(days=31)
    since = now - timedelta(hours=2)
    add()
    add(failure_count=2, failing_since=since, error_code="http_503")
    add(failure_count=1, failing_since=now, error_code="read_timeout")
    add(refresh_token_expires_at=now + timedelta(days=6.9))
    add(refresh_token_expires_at=now + timedelta(days=7.1))
    add(last_used_at=long_ago)
    add(created_at=long_ago, last_used_at=now)
    add(created_at=long_ago)
    add(status="revoking")
    add(expires_at=None, encrypted_refresh_token=None)
    over = {"expires_at": now, "failure_count": 1}
    add(encrypted_refresh_token=None, **over)
    add(refresh_token_expires_at=now, **over)
    for code in ("refresh_token_invalid", "refresh_token_invalid", "outcome_unknown"):
        add(status="reauth_required", error_code=code, failure_count=9, failing_since=long_ago)
    add(
        "gone",
        status="reauth_required",
        error_code="",
        refresh_token_expires_at=now,
    )
    found = collect()
    acme = found.providers["acme"]
    assert (acme.active, acme.expired, acme.reauth_required, acme.revoking) == (9, 2, 3, 1)
    assert (acme.failing, acme.failing_since) == (2, since)
    assert (acme.expiring, acme.unused) == (1, 2)
    assert acme.configured
    assert not found.providers["gone"].configured
    assert [(it.provider, it.code, it.count) for it in found.causes] == [
        ("acme", "refresh_token_invalid", 2),
        ("acme", "outcome_unknown", 1),
        ("gone", "", 1),
    ]


def test_refreshes_by_the_hour(db: None) -> None:
    event("refreshed", 3)
    event("refresh_failed", 2, hours=2)
    event("reauth_required", hours=2)
    event("refreshed", 4, hours=30)
    event("refreshed", 5, hours=8 * 24)
    event("stored", 6)
    found = collect()
    ended = [(hour.refreshed, hour.failed, hour.ended) for hour in found.hours]
    assert (ended[-1], ended[-3], ended[-31]) == ((3, 0, 0), (0, 2, 1), (4, 0, 0))
    assert sum(map(sum, ended)) == 10
    assert found.hours[-1].start <= found.at < found.hours[-1].start + timedelta(hours=1)
    acme = found.providers["acme"]
    assert (acme.refreshed, acme.failed, acme.ended) == (3, 2, 1)


def test_an_hour_begins_with_its_first_moment(db: None) -> None:
    start = collect().hours[5].start
    for moment in (start - timedelta(seconds=1), start, start + timedelta(minutes=59)):
        TokenEvent.objects.create(provider="acme", kind="refreshed", created_at=moment)
    assert [hour.refreshed for hour in collect().hours[4:7]] == [1, 2, 0]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/St_Johns", "UTC"])
def test_days_begin_at_midnight_here(db: None, zone: str) -> None:
    with timezone.override(zone):
        event("refreshed", hours=1)
        found = collect()
        first = timezone.localtime(found.hours[0].start)
    assert (first.hour, first.minute) == (0, 0)
    assert 6 * 24 < len(found.hours) <= 7 * 24 + 1
    assert sum(hour.refreshed for hour in found.hours) == 1


def test_durations(db: None) -> None:
    for hundredths in range(1, 101):
        event("refreshed", duration=hundredths / 100)
    event("refreshed", 50, duration=60.0, hours=30)
    event("refreshed", 50, duration=0.0, code="restored")
    event("refreshed", 2, "other", duration=7.0)
    found = collect().providers
    assert found["acme"].p50 == pytest.approx(0.50, rel=0.08)
    assert found["acme"].p95 == pytest.approx(0.95, rel=0.08)
    assert found["other"].p50 == found["other"].p95 == pytest.approx(7.0, rel=0.08)


def test_what_waits_to_be_saved_or_revoked(add: Callable[..., OAuthToken]) -> None:
    token = add()
    response = {"access_token": "a", "expires_in": 3600}
    rescued = kept(token, get_provider("acme").parse_token_response(response))
    rescue.keep(token.key, rescued)
    rescue.keep(f"another-site:{token.pk}", rescued)
    PendingRevocation.objects.create(
        provider="acme", encrypted_token=b"", retry_at=timezone.now(), created_at=timezone.now()
    )
    found = collect()
    assert (found.rescued, found.pending_revocations) == (1, 1)
    assert [alarm.code for alarm in found.alarms] == ["rescued"]


# The sweep


def test_a_sweep_is_noted_by_beat_and_by_the_command(add: Callable[..., OAuthToken]) -> None:
    from django.core.management import call_command

    from oauth_tokens.tasks import refresh_due_tokens

    for sweep in (refresh_due_tokens, lambda: call_command("oauth_tokens_refresh")):
        swept(hours=1)
        assert codes() == ["sweep_silent"]
        sweep()
        assert codes() == []


def test_a_sweep_that_hands_nothing_over_is_not_noted(add: Callable[..., OAuthToken]) -> None:
    age(add(), EXPIRED)

    def broken(pk: int, version: int) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        upkeep.dispatch_due(broken)
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize(
    ("last_run", "overdue", "alarm"),
    [
        (None, -5, ""),
        (None, 30, ""),
        (None, 90, "The sweep has never run, and 1 token is due for a refresh."),
        (20, -5, ""),
        (20, 200, ""),
        (290, 200, ""),
        (750, -5, "The sweep has not run for 12 minutes."),
        (20, 400, "The sweep runs, but 1 token has been due for up to 6 minutes."),
    ],
)
def test_a_sweep_that_does_not_run(
    add: Callable[..., OAuthToken], last_run: float | None, overdue: float, alarm: str
) -> None:
    add(refresh_at=timezone.now() - timedelta(seconds=overdue))
    if last_run is not None:
        swept(seconds=last_run)
    found = collect()
    texts = [it.text.replace("\xa0", " ") for it in found.alarms]
    assert texts == ([alarm] if alarm else [])
    assert all(alarm.operator and alarm.fix for alarm in found.alarms)


def test_what_no_sweep_refreshes_is_not_late(add: Callable[..., OAuthToken]) -> None:
    late = timezone.now() - timedelta(hours=1)
    swept(seconds=1)
    ProviderCircuit.objects.create(provider="acme", code="http_503", opened_at=late, probe_at=late)
    add(refresh_at=late)
    add("gone", refresh_at=late)
    found = collect()
    assert (found.sweep.due, found.sweep.due_since) == (0, None)
    assert [alarm.code for alarm in found.alarms] == ["provider_failing", "unknown_provider"]


# Alarms


def test_a_provider_that_refuses_this_site_comes_first(add: Callable[..., OAuthToken]) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    for name, code, refuses in (("slow", "read_timeout", False), ("acme", "invalid_client", True)):
        ProviderCircuit.objects.create(
            provider=name, code=code, operator=refuses, opened_at=hour_ago, probe_at=hour_ago
        )
    first, second = collect().alarms
    assert (first.code, first.operator, first.provider) == ("provider_refuses", True, "acme")
    assert first.text.replace("\xa0", " ") == (
        "acme has been refusing this site for 1 hour: the provider refused this site's credentials."
    )
    assert "client_secret" in first.fix
    assert (second.code, second.operator, second.provider) == ("provider_failing", False, "slow")


def test_settings_that_cannot_be_read(
    admin_client: Client, add: Callable[..., OAuthToken], configure: Configure
) -> None:
    add(refresh_at=timezone.now() - timedelta(hours=1))
    configure(ENCRYPTION_KEYS=[])
    found = collect()
    assert [alarm.code for alarm in found.alarms] == ["settings", "sweep_silent"]
    assert "ENCRYPTION_KEYS" in found.alarms[0].text
    assert found.providers["acme"].active == 1
    text = page(admin_client, PAGE)
    assert "oauth_tokens_generate_key" in text
    assert 'class="bad"' in text


def test_every_alarm_is_documented() -> None:
    root = Path(__file__).parents[2]
    sources = [
        *root.glob("oauth_tokens/overview/*.py"),
        root / "oauth_tokens/management/commands/oauth_tokens_status.py",
    ]
    known = {
        code for path in sources for code in re.findall(r'Alarm\(\s*"(\w+)"', path.read_text())
    }
    documented = set(re.findall(r"^\| `(\w+)` \|", (root / "docs/operating.md").read_text(), re.M))
    assert known == documented
    assert "sweep_silent" in known


# The page


def test_each_figure_leads_to_the_rows_that_it_counts(
    admin_client: Client, add: Callable[..., OAuthToken]
) -> None:
    now = timezone.now()
    add()
    add(failure_count=2, failing_since=now, error_code="http_503")
    add(refresh_token_expires_at=now + timedelta(days=3))
    add(last_used_at=now - timedelta(days=60))
    add(expires_at=now, encrypted_refresh_token=None)
    for code in ("refresh_token_invalid", "refresh_token_invalid", "outcome_unknown"):
        add(status="reauth_required", error_code=code)
    add("gone", status="revoking")
    event("refreshed", 3)
    event("refresh_failed", 2)
    event("refreshed", 7, hours=25)
    text = page(admin_client, PAGE)
    links = re.findall(r'href="([^"]+\?[^"]+)">(?:<span[^/]*/span>)?(?:<strong>)?([\d,]+)<', text)
    assert len(links) == 17
    for url, number in links:
        listed = page(admin_client, unescape(url))
        assert re.search(rf"(?<!\d){number} (OAuth token|token event)s?\s", listed), url


def test_the_chart_and_its_table_say_the_same(admin_client: Client, token: OAuthToken) -> None:
    event("refreshed", 12)
    event("refresh_failed", 2, hours=3)
    event("reauth_required", 1, hours=3)
    text = page(admin_client, PAGE)
    day, days = re.findall(r'<figure class="chart">.*?</figure>', text, re.S)
    for chart, rows in ((day, 24), (days, 28)):
        assert 'role="img"' in chart
        assert re.search(r"<title id=.*<desc id=.*12 refreshed, 2 failed .* 1 ended", chart, re.S)
        table = re.findall(r'<td class="number">(\d+)</td>' * 3, chart)
        assert len(table) == rows
        assert [sum(map(int, column)) for column in zip(*table, strict=True)] == [12, 2, 1]
        assert re.findall(r'<rect class="(\w+)"[^>]*height="\d\d', chart).count("refreshed") == 1
        for outcome in ("refreshed", "failed", "ended"):
            assert f'class="{outcome}"' in chart


def test_a_quiet_site(admin_client: Client, configure: Configure) -> None:
    text = page(admin_client, PAGE)
    for words in ("Nothing needs you.", "Nothing was refreshed.", "No sweep has run yet."):
        assert words in text
    assert "the settings have no provider" in text.lower()
    assert "<svg role" not in text


def test_problems_stand_on_top_and_say_so_in_words(
    admin_client: Client, add: Callable[..., OAuthToken]
) -> None:
    add()
    swept(minutes=12)
    text = page(admin_client, PAGE)
    alarm = text.index("The sweep has not run for 12 minutes.")
    assert "needs you</span>" in text[:alarm]
    assert "oauth_tokens_refresh every minute" in text[alarm:]
    assert alarm < text.index("connected</span>")
    assert "Nothing needs you" not in text


def test_the_slowest_come_first(admin_client: Client, token: OAuthToken) -> None:
    event("refreshed", 20, "quick", duration=0.1)
    event("refreshed", 20, "slow", duration=9.0)
    table = page(admin_client, PAGE).split("Slowest providers")[1]
    assert table.index("slow") < table.index("quick")


def test_it_is_reached_from_the_app_and_the_lists(admin_client: Client, token: OAuthToken) -> None:
    pages = ["", "oauthtoken/", "tokenevent/", "providercircuit/"]
    for path in pages:
        assert f'<a href="{PAGE}">Overview</a>' in page(admin_client, f"/admin/oauth_tokens/{path}")
    assert "Task runs" not in page(admin_client, "/admin/oauth_tokens/")
    historian = operator("view_tokenevent")
    assert "Overview</a>" not in page(historian, "/admin/oauth_tokens/tokenevent/")


def test_who_may_see_it(token: OAuthToken) -> None:
    viewer = operator("view_oauthtoken")
    event("refreshed", 3)
    text = page(viewer, PAGE)
    assert "<strong>3</strong> refreshed" in text
    assert "/admin/oauth_tokens/oauthtoken/?status__exact=active" in text
    # A link that would be answered by 403 is none.
    assert "/admin/oauth_tokens/tokenevent/" not in text
    viewer.logout()
    assert viewer.get(PAGE).status_code == 302


def test_others_may_not_see_it(db: None) -> None:
    assert operator("view_tokenevent", "view_taskrun").get(PAGE).status_code == 403


# What it costs


def test_few_queries_and_no_secret(
    admin_client: Client, add: Callable[..., OAuthToken], configure: Configure
) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            page(admin_client, PAGE)
        return [query["sql"] for query in captured]

    add()
    few = queries()
    for number in range(12):
        add(f"provider-{number % 4}", status="reauth_required", error_code=f"code-{number}")
        event("refreshed", 5, f"provider-{number}", duration=number + 0.5, hours=number)
    many = queries()
    assert len(few) == len(many) < 10
    # Whether there is a refresh token is asked, not which.
    assert not [sql for sql in many if re.search(r"encrypted_\w+\W(?! IS (NOT )?NULL)", sql)]
    assert [sql for sql in many if "oauth_tokens_oauthtoken" in sql]
