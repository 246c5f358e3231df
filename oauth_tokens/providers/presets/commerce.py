"""Shops, payments, marketplaces."""

from __future__ import annotations

from typing import Any

from ...marking import gettext_noop as _

HOUR, DAY = 3600, 86400

PRESETS: dict[str, dict[str, Any]] = {
    "stripe": {
        "label": "Stripe",
        "dated": "2026-11",
        "service_documentation": "https://docs.stripe.com/stripe-apps/api-authentication/oauth",
        "about": "Stripe Apps. The client_secret is your secret key, sent as the user name of HTTP "
        "Basic; a wrong one is answered as by the API. No expires_in: an hour. A refresh token is "
        "for one use within a year.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://marketplace.stripe.com/oauth/v2/authorize",
        "token_endpoint": "https://api.stripe.com/v1/oauth/token",
        "token_endpoint_auth_method": "client_secret_basic",
        "secret_as_username": True,
        "pkce": False,
        "metadata_fields": ["livemode", "stripe_publishable_key"],
        "default_expires_in": 3600,
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 365 * DAY,
        "operator_errors": ["401:"],
        "account_id_from": "response.stripe_user_id",
    },
    "shopify": {
        "label": "Shopify",
        "dated": "2026-11",
        "assumed": ["wrong_client"],
        "service_documentation": "https://shopify.dev/docs/apps/build/authentication-authorization/"
        "access-tokens/offline-access-tokens",
        "about": "Users give their shop. Expiring tokens have to be asked for (expiring=1): an "
        "hour, with a refresh token of 90 days, which stays good until its replacement is used, "
        "for 30 days at most. The API takes the token in X-Shopify-Access-Token.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://{shop}.myshopify.com/admin/oauth/authorize",
        "token_endpoint": "https://{shop}.myshopify.com/admin/oauth/access_token",
        "url_variables": {"shop": {"label": _("Shop (the part before .myshopify.com)")}},
        "token_endpoint_auth_method": "client_secret_post",
        "scope_separator": ",",
        "pkce": False,
        "token_params": {"expiring": "1"},
        "default_expires_in": None,
        "refresh_token_rotation": "grace",
        "rotation_grace": 30 * DAY,
        "account_id_from": "url_variables.shop",
        "account_label_from": "url_variables.shop",
    },
    "square": {
        "label": "Square",
        "dated": "2026-11",
        "assumed": ["dead"],
        "service_documentation": "https://developer.squareup.com/docs/oauth-api/overview",
        "about": "JSON requests; the expiry comes as a date, 30 days on. The refresh token stays "
        "the same, and dies 15 days after the access token has expired.",
        "access_token_lifetime": 30 * DAY,
        "authorization_endpoint": "https://connect.squareup.com/oauth2/authorize",
        "token_endpoint": "https://connect.squareup.com/oauth2/token",
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["MERCHANT_PROFILE_READ"],
        "pkce": False,
        "token_body": "json",
        "token_fields": {"expires_in": "expires_at"},
        "expires_in_unit": "datetime",
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 45 * DAY,
        "error_path": ["error", "type"],
        "operator_errors": ["message=Not Authorized"],
        "account_id_from": "response.merchant_id",
    },
    "paypal": {
        "label": "PayPal",
        "dated": "2026-11",
        "service_documentation": "https://developer.paypal.com/docs/log-in-with-paypal/integrate/",
        "about": "Log in with PayPal. A refresh is answered without a refresh token: the first one "
        "stays in use. A dead one is invalid_refresh_token.",
        "access_token_lifetime": 8 * HOUR,
        "authorization_endpoint": "https://www.paypal.com/signin/authorize",
        "token_endpoint": "https://api-m.paypal.com/v1/oauth2/token",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["email"],
        "pkce": False,
        "refresh_token_rotation": "none",
        "dead_grant_errors": ["invalid_refresh_token"],
    },
    "ebay": {
        "label": "eBay",
        "dated": "2026-11",
        "service_documentation": "https://developer.ebay.com/api-docs/static/"
        "oauth-auth-code-grant-request.html",
        "about": 'The redirect_uri is the RuName of the app: set "redirect_uris". token_type is '
        '"User Access Token", which is sent as Bearer. Tokens of two hours, a refresh token of 18 '
        "months that stays the same.",
        "access_token_lifetime": 2 * HOUR,
        "authorization_endpoint": "https://auth.ebay.com/oauth2/authorize",
        "token_endpoint": "https://api.ebay.com/identity/v1/oauth2/token",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["https://api.ebay.com/oauth/api_scope"],
        "pkce": False,
        "token_type": "Bearer",
        "refresh_token_rotation": "none",
    },
    "etsy": {
        "label": "Etsy",
        "dated": "2026-11",
        "service_documentation": "https://developers.etsy.com/documentation/essentials/"
        "authentication/",
        "about": "No secret, but PKCE. Tokens of an hour, a refresh token of 90 days; the API "
        "wants the client_id in x-api-key beside the token.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://www.etsy.com/oauth/connect",
        "token_endpoint": "https://api.etsy.com/v3/public/oauth/token",
        "token_endpoint_auth_method": "none",
        "scope": ["shops_r"],
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 90 * DAY,
    },
    "eventbrite": {
        "label": "Eventbrite",
        "dated": "2026-11",
        "service_documentation": "https://www.eventbrite.com/platform/api#/introduction/authentication",
        "about": "Tokens do not expire, and there is nothing to refresh them with.",
        "authorization_endpoint": "https://www.eventbrite.com/oauth/authorize",
        "token_endpoint": "https://www.eventbrite.com/oauth/token",
        "userinfo_endpoint": "https://www.eventbriteapi.com/v3/users/me/",
        "token_endpoint_auth_method": "client_secret_post",
        "pkce": False,
        "default_expires_in": None,
        "account_id_from": "userinfo.id",
        "account_label_from": "userinfo.name",
    },
}
