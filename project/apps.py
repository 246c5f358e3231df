"""App configuration of the demo site."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """The demo site. Loads the Celery application, so that the site's tasks know their broker."""

    name = "project"

    def ready(self) -> None:
        from . import celery  # noqa: F401
