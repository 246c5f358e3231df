"""Facts about well-known providers, as settings would give them. Each is dated.

A preset is what stands under a provider's own settings, which win over it key by key.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # 2026-11: refresh token only with access_type=offline, again only with prompt=consent;
    # six months idle; revoking one token revokes all of that user and client.
    "google": {
        "label": "Google",
        "issuer": "https://accounts.google.com",
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_endpoint": "https://oauth2.googleapis.com/token",
        "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
        "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
        "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        "scope": ["openid", "email"],
        "authorization_params": {"access_type": "offline", "prompt": "consent"},
        "token_endpoint_auth_method": "client_secret_post",
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 180 * 86400,
        "revocation_revokes_siblings": True,
        "dead_grant_errors": ["error_subtype=invalid_rapt"],
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    # 2026-11: GitHub Apps: 8 h access tokens, errors with status 200, one use a refresh token.
    # Tokens of OAuth Apps have no expires_in and do not expire.
    "github": {
        "label": "GitHub",
        "authorization_endpoint": "https://github.com/login/oauth/authorize",
        "token_endpoint": "https://github.com/login/oauth/access_token",
        "userinfo_endpoint": "https://api.github.com/user",
        "token_endpoint_auth_method": "client_secret_post",
        "scope_separator": ",",
        "refresh_token_rotation": "strict",
        "default_expires_in": None,
        "dead_grant_errors": ["bad_refresh_token"],
        "operator_errors": ["incorrect_client_credentials"],
        "account_id_from": "userinfo.id",
        "account_label_from": "userinfo.login",
    },
    # 2026-11: old refresh tokens stay valid (90 days); wants the scopes on refresh.
    "microsoft": {
        "label": "Microsoft",
        "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "scope": ["openid", "email", "offline_access"],
        "token_endpoint_auth_method": "client_secret_post",
        "refresh_scope": True,
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 90 * 86400,
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    # 2026-11: ok: false with status 200; 12 h; one use; comma scopes; no PKCE; the user's own
    # token is nested and is asked for with user_scope.
    "slack": {
        "label": "Slack",
        "authorization_endpoint": "https://slack.com/oauth/v2/authorize",
        "token_endpoint": "https://slack.com/api/oauth.v2.access",
        "token_endpoint_auth_method": "client_secret_post",
        "scope_separator": ",",
        "scope_parameter": "user_scope",
        "pkce": False,
        "token_path": "authed_user",
        "refresh_token_rotation": "strict",
        "default_expires_in": None,
        "dead_grant_errors": ["invalid_refresh_token", "token_revoked", "account_inactive"],
        "operator_errors": ["bad_client_secret", "invalid_client_id"],
        "transient_errors": ["ratelimited", "fatal_error", "internal_error"],
        "account_id_from": "response.authed_user.id",
        "metadata_fields": ["team.id", "team.name"],
    },
}
