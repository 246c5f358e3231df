"""App configuration of the authorization server."""

from django.apps import AppConfig


class AuthserverConfig(AppConfig):
    """Acme ID: the provider that the demo site connects to."""

    name = "project.authserver"
    verbose_name = "Acme ID"
