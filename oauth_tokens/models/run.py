"""When each recurring task last ran: what tells a quiet site from one whose beat has died."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskRun(models.Model):
    """The last run of one recurring task."""

    task = models.CharField(_("task"), max_length=64, unique=True)
    ran_at = models.DateTimeField(_("last run"))

    class Meta:
        verbose_name = _("task run")
        verbose_name_plural = _("task runs")
        ordering = ("task",)

    def __str__(self) -> str:
        return self.task
