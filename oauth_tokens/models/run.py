"""When each recurring task last ran: what tells a quiet site from one whose beat has died."""

from __future__ import annotations

from datetime import datetime, timedelta

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

    @classmethod
    def last(cls, task: str, using: str) -> datetime | None:
        """When ``task`` last ran; None where it never has."""
        runs = cls._base_manager.using(using).filter(task=task)
        return runs.values_list("ran_at", flat=True).first()

    @classmethod
    def note(cls, task: str, ran_at: datetime, using: str) -> None:
        """``task`` has run."""
        runs = cls._base_manager.using(using)
        if not runs.filter(task=task).update(ran_at=ran_at):
            # Two may be the first.
            runs.bulk_create([cls(task=task, ran_at=ran_at)], ignore_conflicts=True)

    @classmethod
    def take_turn(cls, task: str, every: timedelta, now: datetime, using: str) -> bool:
        """Whether the caller is the one to run ``task`` now, ``every`` so often."""
        runs = cls._base_manager.using(using)
        if runs.filter(task=task, ran_at__lte=now - every).update(ran_at=now):
            return True
        return runs.get_or_create(task=task, defaults={"ran_at": now})[1]

    @classmethod
    def give_back(cls, task: str, last: datetime | None, using: str) -> None:
        """Undo a turn that came to nothing: ``last`` is again when ``task`` ran."""
        runs = cls._base_manager.using(using).filter(task=task)
        if last is None:
            runs.delete()
        else:
            runs.update(ran_at=last)
