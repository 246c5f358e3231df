"""Identity providers: one address per tenant, given by the operator as ``issuer``."""

from __future__ import annotations

from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86400

PRESETS: dict[str, dict[str, Any]] = {
    "google": {
        "label": "Google",
        "dated": "2026-11",
        "service_documentation": "https://developers.google.com/identity/protocols/oauth2",
        "about": "A refresh token only with access_type=offline, and again only with "
        "prompt=consent, so both are sent. It dies after six months without use, or after seven "
        "days while the consent screen is in testing; revoking one token revokes all that user "
        "and client share. The Google Health API, which has replaced that of Fitbit, is reached "
        "with this preset.",
        "access_token_lifetime": HOUR,
        "issuer": "https://accounts.google.com",
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_endpoint": "https://oauth2.googleapis.com/token",
        "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
        "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
        "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["openid", "email"],
        "authorization_params": {"access_type": "offline", "prompt": "consent"},
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 180 * DAY,
        "revocation_revokes_siblings": True,
        "dead_grant_errors": ["error_subtype=invalid_rapt"],
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "microsoft": {
        "label": "Microsoft",
        "dated": "2026-11",
        "service_documentation": "https://learn.microsoft.com/en-us/entra/identity-platform/"
        "v2-oauth2-auth-code-flow",
        "about": "Entra ID and personal accounts. Wants the scopes on refresh, too; an old refresh "
        "token stays good, and dies after 90 days without use. For accounts of one tenant only, "
        'set "url_variables": {"tenant": {"default": "<tenant id>"}}.',
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "jwks_uri": "https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
        "url_variables": {"tenant": {"default": "common", "pattern": r"[A-Za-z0-9.-]+"}},
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["openid", "email", "offline_access"],
        "refresh_scope": True,
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 90 * DAY,
        # AADSTS70043, 50173 and 700082 come as invalid_grant; these, too, only a user can answer.
        "dead_grant_errors": ["interaction_required", "login_required", "consent_required"],
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "okta": {
        "label": "Okta",
        "dated": "2026-11",
        "service_documentation": "https://developer.okta.com/docs/guides/refresh-tokens/main/",
        "about": 'Give your "issuer": https://acme.okta.com, or .../oauth2/default for a custom '
        "authorization server. Where rotation is on, the last refresh token stays good for 30 "
        "seconds unless the app says otherwise; by default it dies after seven days without use.",
        "access_token_lifetime": HOUR,
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["openid", "email", "offline_access"],
        "refresh_token_rotation": "grace",
        "rotation_grace": 30,
        "refresh_token_idle_lifetime": 7 * DAY,
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "auth0": {
        "label": "Auth0",
        "dated": "2026-11",
        "service_documentation": "https://auth0.com/docs/secure/tokens/refresh-tokens",
        "about": 'Give your "issuer" with its slash: https://acme.auth0.com/. Rotation is off by '
        "default; the preset is careful and takes it to be on and strict. A wrong secret is "
        "answered with 401 access_denied. For tokens of an API, add "
        '"authorization_params": {"audience": ...}.',
        "access_token_lifetime": DAY,
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["openid", "email", "offline_access"],
        "refresh_token_rotation": "strict",
        "revocation_token": "refresh_token",
        "operator_errors": ["401:access_denied"],
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "cognito": {
        "label": "Amazon Cognito",
        "dated": "2026-11",
        "service_documentation": "https://docs.aws.amazon.com/cognito/latest/developerguide/"
        "token-endpoint.html",
        "about": 'Give your "issuer": https://cognito-idp.<region>.amazonaws.com/<pool id>. '
        "Rotation is off by default, with up to 60 seconds of grace where it is on; the preset is "
        "careful and takes it to be strict. Refresh tokens live 30 days unless the app client says "
        "otherwise.",
        "access_token_lifetime": HOUR,
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["openid", "email"],
        "refresh_token_rotation": "strict",
        "refresh_token_lifetime": 30 * DAY,
        "revocation_token": "refresh_token",
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "keycloak": {
        "label": "Keycloak",
        "dated": "2026-11",
        "service_documentation": "https://www.keycloak.org/securing-apps/oidc-layers",
        "about": 'Give your "issuer": https://id.acme.example/realms/acme. Refreshing keeps the '
        "user's session at Keycloak from ending, so it is done only when a caller needs it. "
        "refresh_expires_in of 0 is an offline token without end. Whether refresh tokens rotate is "
        "the realm's choice; the preset is careful and takes it that they do.",
        "access_token_lifetime": 5 * MINUTE,
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["openid", "email"],
        "refresh_token_rotation": "strict",
        "refresh_policy": "on_demand",
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
}
