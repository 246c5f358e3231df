"""Write docs/providers.md from the presets: ``python docs/generate_providers.py``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oauth_tokens.providers.presets import facts

PAGE = Path(__file__).parent / "providers.md"
_INTRO = """\
<!-- Written by docs/generate_providers.py from oauth_tokens/providers/presets; change those. -->

# Providers

A preset is everything there is to say about a provider but your own credentials:

```python
OAUTH_TOKENS = {
    "PROVIDERS": {
        "google": {"preset": "google", "client_id": "...", "client_secret": "..."},
    },
}
```

The key is yours to choose: it is in the addresses of the pages and in `get_valid("google")`. Two
keys may have one preset, for two clients. Whatever stands beside `preset` wins over it, key by key:

```python
"google": {
    "preset": "google",
    "client_id": "...",
    "client_secret": "...",
    "scope": ["openid", "email", "https://www.googleapis.com/auth/calendar.readonly"],
},
```

Register the callback with the provider: `https://your.site/oauth/<key>/callback/`, where `oauth/`
is what you include `oauth_tokens.urls` under. A provider that is not here needs its `issuer`, or
its endpoints; [every field](settings.md#describing-a-provider) is described.

Settings go a long way: of the 344 OAuth 2.0 entries of a public catalogue, 325 can be described as
they stand, and eight more once you list the hosts that users may name. What settings cannot
describe are requests that are signed (SHOPLINE), or authenticated by an assertion in another name
than the client's (Revolut) or by a header of each user's (Walmart); a code that arrives by webhook
(Sentry's integrations); a token that has to be traded for an API session (Bullhorn); a refresh
whose answer has no access token (COROS); and what is no authorization code grant.

## Overview

- **Rotation**: *none*, the refresh token stays good; *strict*, each is for one use; *grace*, the
  last one stays good for the time given.
- **Lifetimes** are those that the provider documents, "unused" being how long a refresh token may
  lie idle. Where there is a dash it names none, or only in each answer; the answers always win.
- **Revoked**: whether disconnecting tells the provider. *Discovered*: if its metadata has the
  address.
- **Dated**: the month in which the preset was last edited. Its facts come from the provider's
  documentation or, where that is silent, from what other libraries have learned; providers drift,
  and what your site depends on is best looked up at the source.
"""
_HEADER = [
    *("Provider", "Preset", "Rotation", "Access token", "Refresh token"),
    *("PKCE", "Revoked", "Dated"),
]
_ASSUMED = {"dead": "to a dead refresh token", "wrong_client": "to a wrong client secret"}


def page() -> str:
    """The whole page."""
    presets = sorted(facts().items(), key=lambda item: item[1]["label"].lower())
    sections = "\n".join(_section(name, preset) for name, preset in presets)
    table = "\n".join(_row(cells) for cells in _table(presets))
    return f"{_INTRO}\n{table}\n\n## Each of them\n\n{sections}"


def _table(presets: list[tuple[str, dict[str, Any]]]) -> Iterator[list[str]]:
    yield _HEADER
    yield ["---"] * len(_HEADER)
    for name, preset in presets:
        yield [
            f"[{preset['label']}](#{_anchor(preset['label'])})",
            f"`{name}`",
            _rotation(preset),
            _access_token(preset),
            _refresh_token(preset),
            "yes" if preset.get("pkce", True) else "no",
            _revoked(preset),
            preset["dated"],
        ]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rotation(preset: dict[str, Any]) -> str:
    rotation: str = preset.get("refresh_token_rotation", "")
    if rotation == "grace":
        return f"grace, {_duration(preset['rotation_grace'])}"
    return rotation or "nothing to refresh"


def _access_token(preset: dict[str, Any]) -> str:
    endless = "not told" if "refresh_token_rotation" in preset else "does not expire"
    return _duration(preset.get("access_token_lifetime")) or endless


def _refresh_token(preset: dict[str, Any]) -> str:
    if "refresh_token_rotation" not in preset:
        return "none"
    if preset.get("refresh_with") == "access_token":
        return "none: renews itself"
    idle = _duration(preset.get("refresh_token_idle_lifetime"))
    parts = [idle and f"{idle} unused", _duration(preset.get("refresh_token_lifetime"))]
    return ", ".join(part for part in parts if part) or "—"


def _revoked(preset: dict[str, Any]) -> str:
    if "authorization_endpoint" not in preset:
        return "discovered"
    return "yes" if "revocation_endpoint" in preset else "no"


def _duration(seconds: float | None) -> str:
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds and seconds % unit == 0:
            number = int(seconds // unit)
            return f"{number} {name}{'s' if number > 1 else ''}"
    return ""


def _anchor(label: str) -> str:
    return "".join(c for c in label.lower() if c.isalnum() or c in " -").replace(" ", "-")


def _section(name: str, preset: dict[str, Any]) -> str:
    own = {"preset": name, "client_id": "...", "client_secret": "..."}
    if preset.get("token_endpoint_auth_method") == "none":
        del own["client_secret"]
    if "authorization_endpoint" not in preset:
        own["issuer"] = "https://..."
    settings = ", ".join(f'"{key}": "{value}"' for key, value in own.items())
    lines = [
        f"### {preset['label']}",
        "",
        "```python",
        f'"{name}": {{{settings}}},',
        "```",
        "",
        textwrap.fill(preset["about"], 100, break_on_hyphens=False, break_long_words=False),
        "",
    ]
    asked = [
        variable.get("label", key)
        for key, variable in preset.get("url_variables", {}).items()
        if "default" not in variable
    ]
    if asked:
        lines += [f"Users are asked for: {', '.join(asked)}.", ""]
    if "scope" in preset:
        scopes = " ".join(f"`{scope}`" for scope in preset["scope"])
        lines += [f"Asks for {scopes} unless you set `scope`.", ""]
    if "assumed" in preset:
        answers = " and ".join(_ASSUMED[name] for name in preset["assumed"])
        lines += [f"Not documented, so expected to be that of RFC 6749: its answer {answers}.", ""]
    lines += [f"[Its own documentation]({preset['service_documentation']})", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
