"""Encrypting stored tokens anew with the first key, while refreshes run."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import models, transaction

from ..encryption import get_keyring
from ..exceptions import DecryptionError
from .revocation import PendingRevocation
from .token import OAuthToken

#: The models with secret columns, and these columns.
SECRETS: dict[type[models.Model], tuple[str, ...]] = {
    OAuthToken: OAuthToken.SECRET_COLUMNS,
    PendingRevocation: ("encrypted_token",),
}


class Progress(NamedTuple):
    """One batch: the last primary key in it, rows read, rows changed, rows that did not open."""

    last_pk: Any
    read: int
    changed: int
    unreadable: int


def rekey_batch(model: type[models.Model], after: Any, size: int, using: str) -> Progress | None:
    """Encrypt the next ``size`` rows of ``model`` anew; None where there are no more.

    Their rows are locked meanwhile, for milliseconds, so a refresh is either before or after. Rows
    that are current are left alone: running it again goes on where it stopped.

    Arguments:
        after: primary key of the last row done, or None.
    """
    rows = model._base_manager.using(using).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    columns = SECRETS[model]
    changed = unreadable = 0
    with transaction.atomic(using=using):
        batch: list[Any] = list(rows.select_for_update()[:size])
        if not batch:
            return None
        for row in batch:
            try:
                values = _rekeyed(row, columns)
            except DecryptionError:
                unreadable += 1
                continue
            if values:
                model._base_manager.using(using).filter(pk=row.pk).update(**values)
                changed += 1
    return Progress(batch[-1].pk, len(batch), changed, unreadable)


def _rekeyed(row: Any, columns: tuple[str, ...]) -> dict[str, bytes]:
    """New ciphertexts of those columns whose ciphertext is not of the first key.

    Raises: DecryptionError.
    """
    keyring = get_keyring()
    values = {}
    for column in columns:
        ciphertext = getattr(row, column)
        if ciphertext and not keyring.is_current(bytes(ciphertext)):
            place = row.associated_data(column)
            values[column] = keyring.encrypt(keyring.decrypt(bytes(ciphertext), place), place)
    return values
