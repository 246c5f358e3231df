"""URLs of the demo site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from . import views
from .accounts import SITE_USERS

login = auth_views.LoginView.as_view(
    template_name="login.html", extra_context={"accounts": SITE_USERS}
)

urlpatterns = [
    path("", views.home, name="home"),
    path("dashboard/", views.dashboard, name="dashboard"),
    path("dashboard/live/", views.live, name="live"),
    path("profile.json", views.profile, name="profile"),
    path("state.json", views.state, name="state"),
    path("login/", login, name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("oauth/", include("oauth_tokens.urls")),
    path("admin/", admin.site.urls),
]
