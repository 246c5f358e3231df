"""``{% load oauth_tokens %}``: the state of the user's connections. Nothing here decrypts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.template.context import Context
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..answers import way_back, with_next
from ..exceptions import connect_url
from ..models import OAuthToken
from ..providers.registry import get_provider
from ..reader import without_secrets
from ..spellings import scope_tokens
from ..words import display_name, state_for_user

register = template.Library()

_CACHE = "_oauth_tokens_connections"


@dataclass(frozen=True, slots=True)
class Shown:
    """A connection as templates see it; printed, it is its account or a link to connect.

    Arguments:
        name: the provider's, for users.
        state: "connected", "reauth_required", "insufficient_scope" or "not_connected".
        label: the state in a word or two.
        account: at the provider; "" where it is unknown.
        missing: scopes that were asked about and are not granted.
        connect_url: where the user connects, or allows what is missing, and comes back here from;
            "" where ``oauth_tokens.urls`` is not included.
    """

    name: str
    state: str
    label: str
    account: str
    missing: tuple[str, ...]
    connect_url: str

    @property
    def connected(self) -> bool:
        """Whether there is a connection that does not need its user."""
        return self.state == "connected"

    def __str__(self) -> str:
        if not self.connected and self.connect_url:
            first = self.state == "not_connected"
            text = _("Connect %(name)s") if first else _("Reconnect %(name)s")
            return format_html('<a href="{}">{}</a>', self.connect_url, text % {"name": self.name})
        account = format_html(" ({})", self.account) if self.account else ""
        return format_html("{}: {}{}", self.name, self.label, account)


@register.tag
def oauth_connection(parser: Parser, token: Token) -> ConnectionNode:
    """The state of one of the user's connections: one query a page, for all of them together.

    ``{% oauth_connection "google" %}`` prints the account, or a link to connect and come back;
    ``{% oauth_connection "google" scopes="email" account="7" as google %}`` is for a template's own
    words, see :class:`Shown`. ``scopes`` is a list, or a string with spaces between.
    """
    name, *bits = token.split_contents()
    target = None
    if bits[-2:-1] == ["as"]:
        target = bits.pop()
        bits.pop()
    provider = bits.pop(0) if bits else ""
    options = token_kwargs(bits, parser)
    if not provider or bits or not options.keys() <= {"scopes", "account"}:
        raise template.TemplateSyntaxError(
            f'Write it as {{% {name} "provider" [scopes=...] [account=...] [as variable] %}}.'
        )
    return ConnectionNode(parser.compile_filter(provider), options, target)


class ConnectionNode(template.Node):
    """See :func:`oauth_connection`."""

    def __init__(
        self,
        provider: FilterExpression,
        options: dict[str, FilterExpression],
        target: str | None,
    ) -> None:
        self.provider = provider
        self.options = options
        self.target = target

    def render(self, context: Context) -> str:
        options = {name: value.resolve(context) for name, value in self.options.items()}
        shown = show(context, self.provider.resolve(context), **options)
        if self.target is None:
            return str(shown)
        context[self.target] = shown
        return ""


def show(
    context: Context, provider: str, scopes: Iterable[str] = (), account: str | None = None
) -> Shown:
    """The connection with ``provider`` of whom ``context`` is about.

    Raises:
        ProviderMisconfigured: there is no such provider.
    """
    get_provider(provider)
    request = context.get("request")
    user = getattr(request, "user", None) or context.get("user")
    rows = [
        row
        for row in _rows(request, user)
        if row.provider == provider and account in (None, row.account_id)
    ]
    wanted = set(scope_tokens(scopes or ()))
    # Of several accounts, the one that is best off.
    state, label, row, missing = min(
        (_state(row, wanted) for row in rows),
        key=lambda found: STATES.index(found[0]),
        default=("not_connected", _("not connected"), None, wanted),
    )
    url = connect_url(provider, missing) or ""
    return Shown(
        name=display_name(provider),
        state=state,
        label=label,
        account=row.account_label or row.account_id if row else "",
        missing=tuple(sorted(missing)),
        connect_url=with_next(url, way_back(request)) if url and request else url,
    )


STATES = ("connected", "insufficient_scope", "reauth_required", "not_connected")


def _state(row: Any, wanted: set[str]) -> tuple[str, str, Any, set[str]]:
    missing = wanted - row.scopes
    standing = state_for_user(row)
    if standing.tone == "bad":
        return "reauth_required", standing.label, row, missing
    if missing:
        return "insufficient_scope", _("not everything is allowed"), row, missing
    return "connected", standing.label, row, missing


def _rows(request: Any, user: Any) -> list[Any]:
    """All connections of ``user``, read once for a request."""
    if not getattr(user, "is_authenticated", False):
        return []
    cached = getattr(request, _CACHE, None)
    if cached is None or cached[0] != user.pk:
        rows = user.oauth_tokens.exclude(status=OAuthToken.Status.REVOKING).order_by("pk")
        cached = (user.pk, list(without_secrets(rows)))
        if request is not None:
            setattr(request, _CACHE, cached)
    found: list[Any] = cached[1]
    return found
