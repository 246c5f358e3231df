"""What people measure about themselves."""

from __future__ import annotations

from typing import Any

HOUR, DAY = 3600, 86400

PRESETS: dict[str, dict[str, Any]] = {
    "strava": {
        "label": "Strava",
        "dated": "2026-11",
        "service_documentation": "https://developers.strava.com/docs/authentication/",
        "about": "Comma scopes; tokens of six hours; errors in a list, told apart by the resource "
        "that they are about. Disconnecting takes back all that the app was granted.",
        "access_token_lifetime": 6 * HOUR,
        "authorization_endpoint": "https://www.strava.com/oauth/authorize",
        "token_endpoint": "https://www.strava.com/api/v3/oauth/token",
        "revocation_endpoint": "https://www.strava.com/oauth/deauthorize",
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["read"],
        "scope_separator": ",",
        "pkce": False,
        "authorization_params": {"approval_prompt": "auto"},
        "refresh_token_rotation": "strict",
        "error_path": ["errors.0.resource"],
        "dead_grant_errors": ["RefreshToken"],
        "operator_errors": ["Application"],
        "revocation_parameter_names": {"token": "access_token", "token_type_hint": ""},
        "revocation_token": "access_token",
        "revocation_revokes_siblings": True,
        "account_id_from": "response.athlete.id",
        "account_label_from": "response.athlete.username",
    },
    "withings": {
        "label": "Withings",
        "dated": "2026-11",
        "service_documentation": "https://developer.withings.com/api-reference/#tag/oauth2",
        "about": "Every token request has action=requesttoken; every answer is 200, with the token "
        "in body and the real status beside it.",
        "access_token_lifetime": 3 * HOUR,
        "authorization_endpoint": "https://account.withings.com/oauth2_user/authorize2",
        "token_endpoint": "https://wbsapi.withings.net/v2/oauth2",
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["user.info"],
        "scope_separator": ",",
        "pkce": False,
        "token_params": {"action": "requesttoken"},
        "refresh_params": {"action": "requesttoken"},
        "token_path": "body",
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 365 * DAY,
        "dead_grant_errors": ["error~invalid refresh_token"],
        "operator_errors": ["error~invalid client_id", "error~invalid client_secret"],
        "account_id_from": "response.body.userid",
    },
}
