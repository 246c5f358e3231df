"""Changing one row under a condition, with its history row, by SQL that is written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import connections, models, transaction

from .conf import on_change


class _Statement(NamedTuple):
    """SQL and the fields whose values it takes, in order."""

    sql: str
    fields: list[Any]


_statements: dict[tuple[Any, ...], _Statement] = {}
on_change(_statements.clear)


def change_row(
    row: models.Model,
    changes: Mapping[str, Any],
    where: Mapping[str, Any],
    *,
    using: str,
    event: models.Model | None = None,
) -> bool:
    """Compare-and-set: ``changes`` are written only if all columns of ``where`` have these values.

    The event is written in the same transaction, or not at all; it gets its primary key. On
    PostgreSQL both are one statement: BEGIN, UPDATE, INSERT and COMMIT as four round trips, each
    compiled by the ORM, made a whole refresh a third slower.

    Arguments:
        changes, where: by the names of columns, ``where`` with the primary key's.

    Returns:
        Whether the row was as expected.
    """
    connection = connections[using]
    update, params = _update(type(row), changes, where, connection)
    if event is None:
        with connection.cursor() as cursor:
            cursor.execute(update, params)
            return bool(cursor.rowcount > 0)
    if connection.vendor == "postgresql":
        insert, values = _insert(event, connection)
        with connection.cursor() as cursor:
            cursor.execute(f"WITH changed AS ({update} RETURNING 1) {insert}", params + values)
            written = cursor.fetchone()
        if written is None:
            return False
        event.pk = written[0]
        return True
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute(update, params)
            if cursor.rowcount < 1:
                return False
        event.save(using=using, force_insert=True)
    return True


def _update(
    model: type[models.Model], changes: Mapping[str, Any], where: Mapping[str, Any], connection: Any
) -> tuple[str, list[Any]]:
    # NULL is written out: no placeholder serves for all kinds of columns.
    unset = tuple(name for name, value in changes.items() if value is None)
    empty = tuple(name for name, value in where.items() if value is None)
    key = (model, connection.vendor, tuple(changes), unset, tuple(where), empty)
    statement = _statements.get(key)
    if statement is None:
        quote = connection.ops.quote_name
        field: dict[str, Any] = {name: model._meta.get_field(name) for name in (*changes, *where)}
        column = {name: quote(field[name].column) for name in field}
        sets = ", ".join(
            f"{column[name]} = "
            + ("NULL" if name in unset else _placeholder(field[name], connection))
            for name in changes
        )
        guards = " AND ".join(
            f"{column[name]} " + ("IS NULL" if name in empty else "= %s") for name in where
        )
        table = quote(model._meta.db_table)
        statement = _statements[key] = _Statement(
            # Names of the model alone: values travel as parameters.
            f"UPDATE {table} SET {sets} WHERE {guards}",  # noqa: S608
            [field[name] for name in changes if name not in unset]
            + [field[name] for name in where if name not in empty],
        )
    values = [value for value in (*changes.values(), *where.values()) if value is not None]
    return statement.sql, _prepared(statement.fields, values, connection)


def _insert(event: models.Model, connection: Any) -> tuple[str, list[Any]]:
    model = type(event)
    key = (model, connection.vendor)
    statement = _statements.get(key)
    if statement is None:
        fields = [field for field in model._meta.concrete_fields if not field.primary_key]
        quote = connection.ops.quote_name
        columns = ", ".join(quote(field.column) for field in fields)
        places = ", ".join(_placeholder(field, connection) for field in fields)
        pk = quote(model._meta.pk.column)
        statement = _statements[key] = _Statement(
            f"INSERT INTO {quote(model._meta.db_table)} ({columns}) "  # noqa: S608
            f"SELECT {places} FROM changed RETURNING {pk}",
            fields,
        )
    values = [getattr(event, field.attname) for field in statement.fields]
    return statement.sql, _prepared(statement.fields, values, connection)


def _prepared(fields: list[Any], values: list[Any], connection: Any) -> list[Any]:
    return [
        field.get_db_prep_save(value, connection)
        for field, value in zip(fields, values, strict=True)
    ]


def _placeholder(field: Any, connection: Any) -> str:
    binary = isinstance(field, models.BinaryField)
    return "_binary %s" if binary and connection.vendor == "mysql" else "%s"
