"""The model of Authlib's documentation, with the user and the name of the provider unique."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models


class PlainToken(models.Model):
    """A token set as it came, unencrypted."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=40)
    token_type = models.CharField(max_length=40)
    access_token = models.TextField()
    refresh_token = models.TextField(blank=True)
    expires_at = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar[list[models.UniqueConstraint]] = [
            models.UniqueConstraint(fields=["user", "name"], name="plain_one_per_name")
        ]

    def __str__(self) -> str:
        return self.name

    def to_token(self) -> dict[str, Any]:
        return {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
        }
