"""``path("oauth/", include("oauth_tokens.urls"))``"""

from __future__ import annotations

from django.urls import path

from . import views
from .views.reconnect import reconnect

app_name = "oauth_tokens"

urlpatterns = [
    path("", views.connections, name="connections"),
    path("<str:provider>/connect/", views.connect, name="connect"),
    path("<str:provider>/callback/", views.callback, name="callback"),
    path("<str:provider>/disconnect/", views.disconnect, name="disconnect"),
    path("reconnect/<str:link>/", reconnect, name="reconnect"),
]
