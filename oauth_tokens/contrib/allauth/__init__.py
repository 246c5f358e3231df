"""django-allauth: ``INSTALLED_APPS += ["oauth_tokens.contrib.allauth"]`` takes over the tokens of
logins and connections, and ``clients.social_app`` reads client credentials from ``SocialApp``."""
