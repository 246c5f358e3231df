"""Reading rows: whole and with the database's clock, by SQL that is compiled once; or listed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils import timezone

from .conf import on_change

if TYPE_CHECKING:
    from .models import OAuthToken


class _Clock(Now):
    """The database's clock; MySQL's Now() speaks in the server's time zone."""

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


class Reader:
    """A SELECT of whole rows by some columns, and of the database's clock, compiled once.

    Compiling takes Django longer than PostgreSQL takes to answer: compiled once, reading a token
    costs less than half of ``objects.get()``.
    """

    def __init__(self, model: type[models.Model], using: str, where: Mapping[str, Any]) -> None:
        rows = model._base_manager.using(using).annotate(database_now=_Clock()).order_by("pk")
        # One filter() a column: the placeholders then stand in the order of the columns.
        for column, value in where.items():
            rows = rows.filter(**{column: value})
        compiler = rows.query.get_compiler(using=using)
        self.sql, _params = compiler.as_sql()
        self.fields: list[Any] = [model._meta.get_field(column) for column in where]
        self.names = [expression.target.attname for expression, *_ in compiler.select[:-1]]
        self.converters = compiler.get_converters([item[0] for item in compiler.select])
        self.compiler = compiler

    def read(self, using: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        connection = connections[using]
        params = [
            field.get_db_prep_value(value, connection)
            for field, value in zip(self.fields, values, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows = cursor.fetchall()
        if self.converters:
            # Converters of PostgreSQL and SQLite do not look at the compiler's connection.
            self.compiler.connection = connection
            return [tuple(row) for row in self.compiler.apply_converters(rows, self.converters)]
        return list(rows)


_readers: dict[tuple[type[models.Model], str, tuple[str, ...]], Reader] = {}
on_change(_readers.clear)


def read_rows(model: Any, using: str, where: Mapping[str, Any]) -> list[Any]:
    """Rows of ``model`` by equality of columns, each knowing the database's clock: one query."""
    key = (model, using, tuple(where))
    reader = _readers.get(key)
    if reader is None:
        reader = _readers[key] = Reader(model, using, where)
    found = []
    # Noted before the query: a pause while it runs must make leases seem shorter, never longer.
    before = time.monotonic()
    for values in reader.read(using, where.values()):
        row = model.from_db(using, reader.names, values[:-1])
        row.read_at(_utc(values[-1], using), before)
        found.append(row)
    return found


def without_secrets(rows: models.QuerySet[OAuthToken]) -> models.QuerySet[OAuthToken]:
    """Tokens with the secret columns not loaded, and ``renewable``: is there a refresh token?"""
    has_refresh_token = Q(encrypted_refresh_token__isnull=False)
    return rows.defer(*rows.model.SECRET_COLUMNS).annotate(
        renewable=ExpressionWrapper(has_refresh_token, output_field=BooleanField())
    )


def _utc(now: datetime, using: str) -> datetime:
    """What the clock said, whatever zone the database's other times are kept in."""
    return now if connections[using].vendor == "postgresql" else now.replace(tzinfo=UTC)


def database_now(using: str) -> datetime:
    """The time by the database's clock, in one round trip."""
    connection = connections[using]
    sql = {
        "postgresql": "SELECT STATEMENT_TIMESTAMP()",
        "mysql": "SELECT UTC_TIMESTAMP(6)",
    }.get(connection.vendor)
    if sql is None:
        # An embedded database has this machine's clock.
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(sql)
        now: datetime = cursor.fetchone()[0]
    return _utc(now, using)
