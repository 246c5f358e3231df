"""Customers, tickets, books: where companies keep theirs."""

from __future__ import annotations

from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86400

PRESETS: dict[str, dict[str, Any]] = {
    "salesforce": {
        "label": "Salesforce",
        "dated": "2026-11",
        "service_documentation": "https://help.salesforce.com/s/articleView?"
        "id=xcloud.remoteaccess_oauth_refresh_token_flow.htm",
        "about": "No expires_in: two hours are assumed, the default of a session. The API is at "
        "instance_url, which is kept. Rotation is the org's choice, and where it is on, reuse ends "
        'every grant: the preset takes it to be on. "domain" is login, test for sandboxes, or '
        "acme.my for a domain of one's own.",
        "access_token_lifetime": 2 * HOUR,
        "authorization_endpoint": "https://{domain}.salesforce.com/services/oauth2/authorize",
        "token_endpoint": "https://{domain}.salesforce.com/services/oauth2/token",
        "revocation_endpoint": "https://{domain}.salesforce.com/services/oauth2/revoke",
        "url_variables": {
            "domain": {
                "label": "Salesforce domain",
                "default": "login",
                "pattern": r"[a-z0-9-]+(\.[a-z0-9-]+)*",
            }
        },
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["api", "refresh_token"],
        "metadata_fields": ["instance_url", "issued_at"],
        "default_expires_in": 7200,
        "refresh_token_rotation": "strict",
        "reuse_revokes_siblings": True,
        "dead_grant_errors": ["inactive_user", "inactive_org"],
        "operator_errors": ["invalid_client_id"],
        "account_id_from": "response.id",
    },
    "hubspot": {
        "label": "HubSpot",
        "dated": "2026-11",
        "service_documentation": "https://developers.hubspot.com/docs/api-reference/2026-03/"
        "authentication/oauth-tokens/refresh-oauth-token",
        "about": "Tokens of 30 minutes. A dead refresh token is invalid_request with the status "
        "BAD_REFRESH_TOKEN, or BAD_HUB where the account is gone.",
        "access_token_lifetime": 30 * MINUTE,
        "authorization_endpoint": "https://app.hubspot.com/oauth/authorize",
        "token_endpoint": "https://api.hubapi.com/oauth/2026-03/token",
        "revocation_endpoint": "https://api.hubapi.com/oauth/2026-03/token/revoke",
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["oauth"],
        "pkce": False,
        "token_fields": {"scope": "scopes"},
        "refresh_token_rotation": "none",
        "revocation_token": "refresh_token",
        "dead_grant_errors": ["status=BAD_REFRESH_TOKEN", "status=BAD_HUB"],
        "operator_errors": ["status=BAD_CLIENT_ID", "status=BAD_CLIENT_SECRET"],
        "account_id_from": "response.hub_id",
    },
    "zoho": {
        "label": "Zoho",
        "dated": "2026-11",
        "service_documentation": "https://www.zoho.com/accounts/protocol/oauth.html",
        "about": "A refresh token only with access_type=offline, again only with prompt=consent. "
        "Errors with status 200: invalid_code is a dead refresh token. Users live in one of "
        'several "tld"s; the API is at api_domain, which is kept.',
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://accounts.zoho.{tld}/oauth/v2/auth",
        "token_endpoint": "https://accounts.zoho.{tld}/oauth/v2/token",
        "revocation_endpoint": "https://accounts.zoho.{tld}/oauth/v2/token/revoke",
        "url_variables": {
            "tld": {
                "label": "Zoho data centre",
                "default": "com",
                "choices": ["com", "eu", "in", "com.au", "jp", "sa"],
            }
        },
        "token_endpoint_auth_method": "client_secret_post",
        "scope_separator": ",",
        "pkce": False,
        "authorization_params": {"access_type": "offline", "prompt": "consent"},
        "metadata_fields": ["api_domain"],
        "refresh_token_rotation": "none",
        "revocation_token": "refresh_token",
        "dead_grant_errors": ["invalid_code"],
        "operator_errors": ["invalid_client_secret"],
    },
    "pipedrive": {
        "label": "Pipedrive",
        "dated": "2026-11",
        "service_documentation": "https://pipedrive.readme.io/docs/marketplace-oauth-authorization",
        "about": "A refresh token dies after 60 days without use. The API is at api_domain, which "
        "is kept; scopes are those of the app, and come separated by commas.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://oauth.pipedrive.com/oauth/authorize",
        "token_endpoint": "https://oauth.pipedrive.com/oauth/token",
        "revocation_endpoint": "https://oauth.pipedrive.com/oauth/revoke",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope_separator": ",",
        "pkce": False,
        "metadata_fields": ["api_domain"],
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 60 * DAY,
        "account_id_from": "response.api_domain",
    },
    "intercom": {
        "label": "Intercom",
        "dated": "2026-11",
        "service_documentation": "https://developers.intercom.com/docs/build-an-integration/"
        "learn-more/authentication/setting-up-oauth",
        "about": "Tokens do not expire, and there is nothing to refresh them with.",
        "authorization_endpoint": "https://app.intercom.com/oauth",
        "token_endpoint": "https://api.intercom.io/auth/eagle/token",
        "userinfo_endpoint": "https://api.intercom.io/me",
        "token_endpoint_auth_method": "client_secret_post",
        "pkce": False,
        "default_expires_in": None,
        "account_id_from": "userinfo.id",
        "account_label_from": "userinfo.email",
    },
    "zendesk": {
        "label": "Zendesk",
        "dated": "2026-11",
        "service_documentation": "https://developer.zendesk.com/documentation/api-basics/"
        "authentication/oauth-refresh-tokens/",
        "about": "Tokens expire only where a lifetime is asked for: half an hour here. Users give "
        "their subdomain.",
        "access_token_lifetime": 30 * MINUTE,
        "authorization_endpoint": "https://{subdomain}.zendesk.com/oauth/authorizations/new",
        "token_endpoint": "https://{subdomain}.zendesk.com/oauth/tokens",
        "url_variables": {"subdomain": {"label": "Zendesk subdomain"}},
        "token_endpoint_auth_method": "client_secret_post",
        "scope": ["read"],
        "token_params": {"expires_in": "1800"},
        "refresh_params": {"expires_in": "1800"},
        "default_expires_in": None,
        "refresh_token_rotation": "strict",
        "account_id_from": "url_variables.subdomain",
        "account_label_from": "url_variables.subdomain",
    },
    "xero": {
        "label": "Xero",
        "dated": "2026-11",
        "service_documentation": "https://developer.xero.com/documentation/guides/oauth2/auth-flow",
        "about": "Tokens of 30 minutes; a refresh token is for one use, with 30 minutes of grace, "
        "and dies after 60 days without use.",
        "access_token_lifetime": 30 * MINUTE,
        "issuer": "https://identity.xero.com",
        "authorization_endpoint": "https://login.xero.com/identity/connect/authorize",
        "token_endpoint": "https://identity.xero.com/connect/token",
        "revocation_endpoint": "https://identity.xero.com/connect/revocation",
        "userinfo_endpoint": "https://identity.xero.com/connect/userinfo",
        "jwks_uri": "https://identity.xero.com/.well-known/openid-configuration/jwks",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["openid", "email", "offline_access"],
        "pkce": False,
        "refresh_token_rotation": "grace",
        "rotation_grace": 1800,
        "refresh_token_idle_lifetime": 60 * DAY,
        "account_id_from": "id_token.sub",
        "account_label_from": "id_token.email",
    },
    "quickbooks": {
        "label": "QuickBooks",
        "dated": "2026-11",
        "service_documentation": "https://developer.intuit.com/app/developer/qbo/docs/develop/"
        "authentication-and-authorization/oauth-2.0",
        "about": "Intuit. The redirect brings realmId, the company, which is kept. The refresh "
        "token changes about once a day, dies after 100 days without use and after five years in "
        "any case.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://appcenter.intuit.com/connect/oauth2",
        "token_endpoint": "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        "revocation_endpoint": "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["com.intuit.quickbooks.accounting"],
        "pkce": False,
        "token_fields": {"refresh_token_expires_in": "x_refresh_token_expires_in"},
        "metadata_fields": ["realmId"],
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 100 * DAY,
        "revocation_body": "json",
        "account_id_from": "redirect.realmId",
    },
    "docusign": {
        "label": "Docusign",
        "dated": "2026-11",
        "service_documentation": "https://developers.docusign.com/platform/auth/authcode/",
        "about": "Tokens of eight hours; with the scope extended, each refresh gives the refresh "
        "token another 30 days.",
        "access_token_lifetime": 8 * HOUR,
        "authorization_endpoint": "https://account.docusign.com/oauth/auth",
        "token_endpoint": "https://account.docusign.com/oauth/token",
        "userinfo_endpoint": "https://account.docusign.com/oauth/userinfo",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["signature", "extended"],
        "refresh_token_rotation": "strict",
        "refresh_token_idle_lifetime": 30 * DAY,
        "account_id_from": "userinfo.sub",
        "account_label_from": "userinfo.email",
    },
    "klaviyo": {
        "label": "Klaviyo",
        "dated": "2026-11",
        "service_documentation": "https://developers.klaviyo.com/en/docs/set_up_oauth",
        "about": "Tokens of an hour; a refresh token stays the same, and dies after 90 days "
        "without use.",
        "access_token_lifetime": HOUR,
        "authorization_endpoint": "https://www.klaviyo.com/oauth/authorize",
        "token_endpoint": "https://a.klaviyo.com/oauth/token",
        "revocation_endpoint": "https://a.klaviyo.com/oauth/revoke",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": ["accounts:read"],
        "refresh_token_rotation": "none",
        "refresh_token_idle_lifetime": 90 * DAY,
    },
    "mailchimp": {
        "label": "Mailchimp",
        "dated": "2026-11",
        "service_documentation": "https://mailchimp.com/developer/marketing/guides/"
        "access-user-data-oauth-2/",
        "about": "expires_in is 0, which means never, and scope is null: tokens live until they "
        "are taken back, and there is nothing to refresh them with.",
        "authorization_endpoint": "https://login.mailchimp.com/oauth2/authorize",
        "token_endpoint": "https://login.mailchimp.com/oauth2/token",
        "token_endpoint_auth_method": "client_secret_post",
        "pkce": False,
        "zero_expires_in": "never",
        "default_expires_in": None,
    },
}
