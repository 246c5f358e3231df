"""``path("oauth/", include("oauth_tokens.urls"))``"""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "oauth_tokens"

urlpatterns = [
    path("", views.connections, name="connections"),
    path("<str:provider>/connect/", views.connect, name="connect"),
    path("<str:provider>/callback/", views.callback, name="callback"),
    path("<str:provider>/disconnect/", views.disconnect, name="disconnect"),
]
