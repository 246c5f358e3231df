"""A site, an authorization server, an issuer of JWTs and a protected API: a process each."""
