"""Scopes in the words of the users who grant them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from .conf import get_settings

_GOOGLE = "https://www.googleapis.com/auth/"
_GRAPH = "https://graph.microsoft.com/"

#: What means the same wherever it is met: OpenID Connect Core sections 5.4 and 11, and addresses.
ANYWHERE = {
    "openid": _("Confirm who you are"),
    "profile": _("See your name and picture"),
    "email": _("See your e-mail address"),
    "address": _("See your postal address"),
    "phone": _("See your phone number"),
    "offline_access": _("Stay connected while you are away"),
    f"{_GOOGLE}userinfo.email": _("See your e-mail address"),
    f"{_GOOGLE}userinfo.profile": _("See your name and picture"),
    f"{_GOOGLE}adwords": _("See and change your advertising campaigns"),
    f"{_GOOGLE}analytics.readonly": _("See the statistics of your sites"),
    f"{_GOOGLE}calendar": _("See, change and delete your calendars"),
    f"{_GOOGLE}calendar.events": _("See and change the events in your calendars"),
    f"{_GOOGLE}calendar.events.readonly": _("See the events in your calendars"),
    f"{_GOOGLE}calendar.readonly": _("See your calendars"),
    f"{_GOOGLE}contacts": _("See, change and delete your contacts"),
    f"{_GOOGLE}contacts.readonly": _("See your contacts"),
    f"{_GOOGLE}documents": _("See and change your documents"),
    f"{_GOOGLE}documents.readonly": _("See your documents"),
    f"{_GOOGLE}drive": _("See, change and delete all your files"),
    f"{_GOOGLE}drive.file": _("See and change the files that you use with this site"),
    f"{_GOOGLE}drive.metadata.readonly": _("See the names and details of your files"),
    f"{_GOOGLE}drive.readonly": _("See all your files"),
    f"{_GOOGLE}gmail.compose": _("Write and send e-mails in your name"),
    f"{_GOOGLE}gmail.modify": _("See, write, send and sort your e-mails"),
    f"{_GOOGLE}gmail.readonly": _("See your e-mails"),
    f"{_GOOGLE}gmail.send": _("Send e-mails in your name"),
    f"{_GOOGLE}spreadsheets": _("See and change your spreadsheets"),
    f"{_GOOGLE}spreadsheets.readonly": _("See your spreadsheets"),
    f"{_GOOGLE}tasks": _("See and change your tasks"),
    f"{_GOOGLE}tasks.readonly": _("See your tasks"),
    f"{_GOOGLE}youtube.readonly": _("See your videos, playlists and subscriptions"),
    f"{_GOOGLE}youtube.upload": _("Publish videos in your name"),
    "https://mail.google.com/": _("See, send and delete all your e-mails"),
}
#: What one provider means by them, by its preset.
OF_PRESET = {
    "asana": {
        "users:read": _("See the people in your team"),
        "projects:read": _("See your projects"),
        "tasks:read": _("See your tasks"),
        "tasks:write": _("See and change your tasks"),
    },
    "atlassian": {
        "read:me": _("See your profile"),
        "read:jira-user": _("See the people in your team"),
        "read:jira-work": _("See your projects and issues"),
        "write:jira-work": _("Create and change issues in your name"),
    },
    "discord": {
        "identify": _("See your name and picture"),
        "guilds": _("See which groups you are in"),
    },
    "dropbox": {
        "account_info.read": _("See your profile"),
        "files.metadata.read": _("See the names and details of your files"),
        "files.content.read": _("See all your files"),
        "files.content.write": _("Create, change and delete files"),
    },
    "facebook": {
        "public_profile": _("See your name and picture"),
        "pages_show_list": _("See which pages you manage"),
        "pages_read_engagement": _("See what your pages publish, and who follows them"),
        "pages_manage_posts": _("Publish posts on your pages"),
        "ads_read": _("See your advertising campaigns"),
        "ads_management": _("See and change your advertising campaigns"),
    },
    "github": {
        "repo": _("See and change all your repositories, private ones as well"),
        "public_repo": _("See and change your public repositories"),
        "delete_repo": _("Delete your repositories"),
        "workflow": _("Change the workflows in your repositories"),
        "gist": _("Publish snippets of code in your name"),
        "notifications": _("See your notifications"),
        "read:org": _("See which groups you are in"),
        "read:user": _("See your profile"),
        "user": _("See and change your profile"),
        "user:email": _("See your e-mail address"),
    },
    "gitlab": {
        "api": _("See and change everything in your account"),
        "read_api": _("See everything in your account"),
        "read_user": _("See your profile"),
        "read_repository": _("See all your repositories, private ones as well"),
        "write_repository": _("See and change all your repositories, private ones as well"),
    },
    "hubspot": {
        "oauth": _("Confirm which account it is"),
        "crm.objects.contacts.read": _("See your contacts"),
        "crm.objects.contacts.write": _("Create and change contacts"),
        "crm.objects.companies.read": _("See your companies"),
        "crm.objects.companies.write": _("Create and change companies"),
        "crm.objects.deals.read": _("See your deals"),
        "crm.objects.deals.write": _("Create and change deals"),
        "crm.lists.read": _("See your lists of contacts"),
        "files": _("See and change your files"),
        "tickets": _("See and change your tickets"),
    },
    "linkedin": {
        "w_member_social": _("Publish posts in your name"),
    },
    "microsoft": {
        "User.Read": _("See your profile"),
        "Calendars.Read": _("See your calendars"),
        "Calendars.ReadWrite": _("See, change and delete your calendars"),
        "Chat.Read": _("See your chats"),
        "Contacts.Read": _("See your contacts"),
        "Contacts.ReadWrite": _("See, change and delete your contacts"),
        "Files.Read": _("See all your files"),
        "Files.Read.All": _("See all files that you can open"),
        "Files.ReadWrite": _("See, change and delete all your files"),
        "Files.ReadWrite.All": _("See, change and delete all files that you can open"),
        "Mail.Read": _("See your e-mails"),
        "Mail.ReadWrite": _("See, change and delete your e-mails"),
        "Mail.Send": _("Send e-mails in your name"),
        "Tasks.Read": _("See your tasks"),
        "Tasks.ReadWrite": _("See and change your tasks"),
    },
    "quickbooks": {
        "com.intuit.quickbooks.accounting": _("See and change your accounts"),
    },
    "reddit": {"identity": _("See your profile")},
    "salesforce": {
        "api": _("See and change everything in your account"),
        "refresh_token": _("Stay connected while you are away"),
    },
    "slack": {
        "channels:read": _("See the list of public channels"),
        "channels:history": _("See the messages in public channels"),
        "groups:read": _("See which private channels you are in"),
        "groups:history": _("See the messages in your private channels"),
        "im:history": _("See your direct messages"),
        "chat:write": _("Send messages"),
        "files:read": _("See the files in the workspace"),
        "files:write": _("Upload, change and delete files"),
        "reactions:read": _("See reactions to messages"),
        "team:read": _("See the name of the workspace"),
        "users:read": _("See the people in the workspace"),
        "users:read.email": _("See the e-mail addresses of the people in the workspace"),
    },
    "spotify": {
        "user-read-email": _("See your e-mail address"),
        "user-read-private": _("See your profile"),
        "user-library-read": _("See the music that you have saved"),
        "playlist-read-private": _("See your playlists, private ones as well"),
        "playlist-modify-private": _("Change your private playlists"),
        "playlist-modify-public": _("Change your public playlists"),
        "user-modify-playback-state": _("Control what is being played"),
    },
    "strava": {
        "read": _("See your profile"),
        "activity:read": _("See your activities"),
        "activity:read_all": _("See your activities, private ones as well"),
        "activity:write": _("Upload and change activities"),
    },
    "x": {
        "users.read": _("See your profile"),
        "tweet.read": _("See the posts that you can see"),
        "tweet.write": _("Publish posts in your name"),
        "offline.access": _("Stay connected while you are away"),
    },
    "xero": {
        "accounting.transactions": _("See and change your invoices and payments"),
        "accounting.transactions.read": _("See your invoices and payments"),
        "accounting.contacts": _("Create and change contacts"),
        "accounting.contacts.read": _("See your contacts"),
    },
}


class Scope(NamedTuple):
    """A scope for users to read: ``words`` is "" where only its ``name`` is known."""

    name: str
    words: str


def in_words(provider: str, scopes: Iterable[str]) -> list[Scope]:
    """``scopes`` of ``provider``, by its name in the settings; those without words come last."""
    raw = get_settings().PROVIDERS.get(provider, {})
    own = OF_PRESET.get(raw.get("preset", provider), {})
    labels = raw.get("scope_labels", {})
    found = []
    for name in scopes:
        words = labels.get(name) or own.get(name.removeprefix(_GRAPH)) or ANYWHERE.get(name)
        found.append(Scope(name, gettext(words) if words else ""))
    return sorted(found, key=lambda scope: (not scope.words, scope.words, scope.name))


def listed(provider: str, scopes: Iterable[str]) -> str:
    """``scopes`` in one line: in words, or by name where there are none."""
    return ", ".join(scope.words or scope.name for scope in in_words(provider, scopes))
