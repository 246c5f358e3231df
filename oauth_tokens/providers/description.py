"""What there is to say about a provider: one field for each difference observed.

Names are those registered for server metadata (RFC 8414) and client metadata (RFC 7591) wherever
one exists. Lifetimes are in seconds. A path is dotted, a number in it counts within a list:
"authed_user.id", "errors.0.resource".

``{name}`` in an address stands for ``client_id`` or a variable of ``url_variables``; in the value
of a parameter, also for ``redirect_uri``, ``random``, one of the ``metadata_fields`` kept at
connect or, when a code is exchanged, ``state``. A parameter whose value is not known is left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote_plus

from .variables import UrlVariable

_Strings = Mapping[str, str]
_Words = tuple[str, ...]


# Without eq and repr, a third less time at start.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Description:
    """The fields of :class:`oauth_tokens.providers.base.Provider`, as settings or presets give
    them."""

    name: str
    client_id: str
    client_secret: str = ""
    client_from: str = ""
    """Dotted path of a callable that gives client_id and client_secret as a dict, by the provider's
    name: ``oauth_tokens.contrib.allauth.clients.social_app``, or one that asks your vault. Called
    whenever they are needed."""
    label: str = ""
    """What users read; "" means the name with a capital."""
    aliases: _Words = ()
    """What django-allauth or social-auth call it, where that is not our name: "google-oauth2"."""

    # Server metadata, RFC 8414
    issuer: str = ""
    """Endpoints that are not set are taken from its metadata."""
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    revocation_endpoint: str = ""
    """RFC 7009. ``{token}`` in it is the token. HubSpot wants it in the path."""
    introspection_endpoint: str = ""
    """RFC 7662."""
    userinfo_endpoint: str = ""
    """OpenID Connect Core section 5.3, or any address that answers a Bearer token with JSON."""
    jwks_uri: str = ""
    """The keys that id_tokens are verified with, by joserfc (the extra ``bearer``). Without either,
    TLS stands for the signature, as OpenID Connect Core section 3.1.3.7 item 6 allows."""
    scopes_supported: _Words = ()
    """For your own pages: servers may leave scopes out of it, so nothing is refused by it."""
    code_challenge_methods_supported: _Words = ()
    """RFC 7636. "plain" is used only where this names it and not S256."""
    authorization_response_iss_parameter_supported: bool = False
    """RFC 9207: an answer without ``iss`` is refused."""
    service_documentation: str = ""
    """Where the provider describes its OAuth 2.0."""

    # Client metadata, RFC 7591
    token_endpoint_auth_method: str = ""
    """client_secret_basic, client_secret_post, private_key_jwt or none; "" means private_key_jwt
    with a private_key, else basic with a secret, else none."""
    token_endpoint_auth_signing_alg: str = ""
    """Of private_key_jwt; "" means RS256, ES256, ES384, ES512 or EdDSA, as the key has it."""
    id_token_signed_response_alg: str = ""
    """OpenID Connect Registration section 2; "" accepts every asymmetric one. LINE: HS256, so TLS
    stands for the signature."""
    scope: _Words = ()
    """Asked for at connect unless the caller names others."""
    scope_labels: _Strings = field(default_factory=dict)
    """Scopes in words for your users, where the app knows none or you know better."""
    redirect_uris: _Words = ()
    """The first one is used instead of the callback's address as the request shows it (proxies)."""

    # Differences in client authentication
    private_key: str = ""
    """PEM, for private_key_jwt (RFC 7523)."""
    private_key_id: str = ""
    """The ``kid`` under which the provider knows it."""
    client_assertion_audience: str = ""
    """``aud`` of private_key_jwt; "" means the issuer, without one the token endpoint. Okta wants
    the token endpoint."""
    secret_as_username: bool = False
    """Stripe wants the secret as the user name of HTTP Basic, and no password."""
    basic_encoding: Literal["form", "none"] = "form"
    """RFC 6749 section 2.3.1 form-encodes id and secret before they are joined; servers that do not
    decode refuse secrets with "+", "/" or "="."""
    previous_clients: tuple[Mapping[str, str], ...] = ()
    """Clients whose tokens are still about, while credentials change: each a dict of client_id and
    what differs of client_secret, private_key, private_key_id, token_endpoint_auth_method. Their
    tokens are refreshed and revoked as theirs."""

    # Differences in addresses
    url_variables: Mapping[str, UrlVariable] = field(default_factory=dict)
    """Parts of the addresses that each user has their own of: {"subdomain": {}} for
    "https://{subdomain}.zendesk.com/...". Asked for at connect. Keys of each, all optional:
    ``label``, what users read; ``pattern``, which all of a value must match (a label of a host name
    unless told); ``choices``, the possible values (a variable that ends a host name needs them:
    Zoho's "accounts.zoho.{tld}"); ``default``, so that nobody is asked (Salesforce: "login");
    ``redirect``, the parameter of the redirect that brings it (Lightspeed: domain_prefix)."""

    # Differences in the authorization request
    scope_separator: str = " "
    """Slack, Shopify and some 20 more want commas."""
    scope_parameter: str = "scope"
    """Slack: "user_scope" asks for a user's token instead of a bot's."""
    pkce: bool = True
    """False for the providers that refuse code_challenge (RFC 7636)."""
    nonce: bool = True
    """False where id_tokens do not repeat it, as OpenID Connect wants it: LinkedIn."""
    authorization_params: _Strings = field(default_factory=dict)
    """Google: access_type=offline and prompt=consent, or there is no refresh token."""
    authorization_parameter_names: _Strings = field(default_factory=dict)
    """Registered name to the provider's own, or to "", which leaves it out. TikTok: client_id to
    client_key."""
    resource: _Words = ()
    """RFC 8707: the APIs that tokens are for; sent in authorization and token requests."""

    code_parameter: str = "code"
    """What the redirect calls the code. Amazon Selling Partner: spapi_oauth_code."""

    # Differences in token requests
    token_method: Literal["POST", "GET"] = "POST"
    """WeChat wants GET, with the parameters in the query."""
    token_body: Literal["form", "json"] = "form"
    """Notion and DingTalk want JSON."""
    token_headers: _Strings = field(default_factory=dict)
    """Notion: Notion-Version."""
    token_params: _Strings = field(default_factory=dict)
    """Added when a code is exchanged. VK: {"device_id": "{device_id}"}, out of the redirect."""
    token_parameter_names: _Strings = field(default_factory=dict)
    """As authorization_parameter_names. DingTalk: client_id to clientId and so on."""
    user_agent: str = ""
    """Reddit answers 429 to agents it does not know."""
    long_lived_endpoint: str = ""
    """Instagram, Threads, Facebook: a code gives a token of an hour, which is exchanged here for
    one of 60 days, in a request like that of a refresh."""
    long_lived_grant_type: str = ""
    """Instagram: ig_exchange_token."""

    # Differences in refresh requests
    refresh_endpoint: str = ""
    """"" is the token endpoint."""
    refresh_method: Literal["", "POST", "GET"] = ""
    """"" is token_method. Instagram and Threads want GET."""
    refresh_grant_type: str = "refresh_token"
    """Facebook: fb_exchange_token."""
    refresh_params: _Strings = field(default_factory=dict)
    """VK: {"device_id": "{device_id}"}."""
    refresh_parameter_names: _Strings = field(default_factory=dict)
    """Over token_parameter_names. Facebook: refresh_token to fb_exchange_token; Instagram:
    refresh_token to access_token, client_id and client_secret to ""."""
    refresh_scope: bool = False
    """Microsoft wants the scopes on refresh as well."""
    refresh_with: Literal["refresh_token", "access_token"] = "refresh_token"
    """Facebook, Instagram, Threads: there is no refresh token; a new access token is given for one
    that is still alive."""

    # Differences in revocation requests
    revocation_method: Literal["POST", "DELETE", "GET"] = "POST"
    """GitHub, HubSpot and Facebook want DELETE."""
    revocation_body: Literal["form", "json", "none"] = "form"
    """GitHub and QuickBooks want JSON; "none" where the address or a header says it all."""
    revocation_parameter_names: _Strings = field(default_factory=dict)
    """As authorization_parameter_names. GitHub: token to access_token, token_type_hint to ""."""
    revocation_auth_method: str = ""
    """"" authenticates as at the token endpoint; "bearer" with the token itself (Slack, Dropbox);
    GitHub wants client_secret_basic here alone."""
    revocation_token: Literal["", "access_token", "refresh_token"] = ""
    """The only kind that can be revoked; "" revokes the refresh token where there is one. GitHub,
    Slack, Dropbox, Twitch: access_token."""
    revocation_revokes_siblings: bool = False
    """Google revokes everything that user and client share, so a late token is not revoked once the
    user has connected again."""

    # Differences in token answers
    token_path: str = ""
    """Path of the object that holds the token, where present. Slack: "authed_user"."""
    token_fields: _Strings = field(default_factory=dict)
    """Registered name to path, within that object. DingTalk: access_token to accessToken;
    QuickBooks: refresh_token_expires_in to x_refresh_token_expires_in, which is otherwise read from
    the field of its name or from refresh_expires_in."""
    granted_scope_separator: str = ""
    """"" is scope_separator. LinkedIn is asked with spaces and answers with commas."""
    token_type: str = ""
    """What goes before the token in the Authorization header, whatever the answer says. Slack
    answers "user", eBay "User Access Token"; both want Bearer."""
    expires_in_unit: Literal["s", "ms", "timestamp", "timestamp_ms", "datetime"] = "s"
    """How the answer spells lifetimes: a number from now on, a Unix time, or ISO 8601. Square:
    datetime, with token_fields naming expires_at."""
    default_expires_in: float | Literal["default"] | None = "default"
    """For an answer that does not say; None: does not expire. "default": DEFAULT_EXPIRES_IN."""
    zero_expires_in: Literal["never", "unknown"] = "unknown"
    """What ``expires_in: 0`` means. Mailchimp: never."""
    metadata_fields: _Words = ()
    """Paths in the answer, or parameters of the redirect, worth keeping in ``extra``. Salesforce:
    instance_url; QuickBooks: realmId."""

    # Lifetime of a grant
    refresh_token_rotation: Literal["none", "grace", "strict"] = "strict"
    """none: an old refresh token stays good; grace: for ``rotation_grace``; strict: not at all."""
    rotation_grace: float = 0
    """Seconds. Atlassian: 600; Okta: 30."""
    refresh_token_lifetime: float | None = None
    """Known absolute life of a refresh token that the answers do not tell."""
    refresh_token_idle_lifetime: float | None = None
    """Google: 180 days without use."""
    refresh_policy: Literal["ahead", "on_demand", "keep_alive"] = "ahead"
    """ahead: before each expiry. on_demand: when a caller needs it. keep_alive: on demand, and
    before the refresh token dies of idleness."""

    # Meanings of errors: "code", "status:code", "status:", "path=value" or "path~part of it"
    error_path: _Words = ("error",)
    """Paths of the error code, the first that is there counts. Facebook: "error.code"; Strava:
    "errors.0.resource"."""
    dead_grant_errors: _Words = ()
    """Beyond invalid_grant. GitHub: bad_refresh_token with status 200."""
    operator_errors: _Words = ()
    """Beyond those of RFC 6749 section 5.2. GitHub: incorrect_client_credentials."""
    transient_errors: _Words = ()
    """Codes that look final, but are not. Slack: ratelimited."""
    unauthorized_statuses: tuple[int, ...] = (401,)
    """What the API answers for a dead access token."""

    # Who it is
    account_id_from: str = ""
    """"id_token.sub", "response.team.id", "userinfo.id", "redirect.realmId" or
    "url_variables.subdomain"; "" where one account is enough. What comes from redirect or
    url_variables is the user's own claim, for telling accounts apart: authorize nothing by it."""
    account_label_from: str = ""
    """As account_id_from; for people to read."""

    dated: str = ""
    """Of a preset: the month in which it was last edited, e.g. "2026-11"."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def display_name(self) -> str:
        """What users read."""
        return self.label or self.name.replace("_", " ").capitalize()

    @property
    def auth_method(self) -> str:
        """The client authentication in use (RFC 6749 section 2.3)."""
        if self.token_endpoint_auth_method:
            return self.token_endpoint_auth_method
        if self.private_key:
            return "private_key_jwt"
        return "client_secret_basic" if self.client_secret else "none"

    @property
    def basic_credentials(self) -> str:
        """User name and password of HTTP Basic (RFC 6749 section 2.3.1)."""
        if self.secret_as_username:
            return f"{self.client_secret}:"
        encode = quote_plus if self.basic_encoding == "form" else str
        return f"{encode(self.client_id)}:{encode(self.client_secret)}"

    @property
    def known_values(self) -> dict[str, Any]:
        """What ``{name}`` may stand for without knowing the connection."""
        values = {"client_id": self.client_id, "random": secrets.token_urlsafe(16)}
        return {**values, "redirect_uri": self.redirect_uris[0]} if self.redirect_uris else values
