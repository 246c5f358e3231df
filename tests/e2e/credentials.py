"""What the site of the tests is registered with at each authorization server."""

from __future__ import annotations

CLIENT_ID = "daylight"
#: Of characters that RFC 6749 section 2.3.1 wants encoded.
CLIENT_SECRET = "s+cret: 100 % & more / of it ="
JWT_CLIENT_ID = "daylight-jwt"
REDIRECT_URI = "http://127.0.0.1/oauth/acme/callback/"
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgob8yIUye0KEaYW+r
YVKNL7NxhNNUDnybT2XSNXiSbZuhRANCAAQFX5UOUMnWpmFcwX1AnzAtdfrXip67
vQI0JPKXiiW/XUmvcBQGko9fzj4O6p+T3ZLZx2VzciMZHPdKSDgSWgD4
-----END PRIVATE KEY-----
"""
PUBLIC_KEY = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBV+VDlDJ1qZhXMF9QJ8wLXX614qe
u70CNCTyl4olv11Jr3AUBpKPX84+Duqfk92S2cdlc3IjGRz3Skg4EloA+A==
-----END PUBLIC KEY-----
"""
