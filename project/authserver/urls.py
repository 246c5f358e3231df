"""URLs of Acme ID: the OAuth 2.0 endpoints, the pages around them, and the protected API."""

from django.contrib.auth import views as auth_views
from django.urls import include, path
from oauth2_provider.urls import base_urlpatterns, metadata_urlpatterns

from project.accounts import ACME_USERS

from . import views

login = auth_views.LoginView.as_view(
    template_name="authserver/login.html", extra_context={"accounts": ACME_USERS}
)
oauth_patterns = (base_urlpatterns + metadata_urlpatterns, "oauth2_provider")

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", login, name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("apps/<int:application_id>/withdraw/", views.withdraw, name="withdraw"),
    path("counters/", views.counters, name="counters"),
    path("api/me/", views.me, name="me"),
    path("o/", include(oauth_patterns)),
]
