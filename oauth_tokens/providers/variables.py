"""Variables in a provider's addresses: whatever a user types, the address stays the provider's.

The server sends client secrets and refresh tokens to these addresses, so a value may fill the gap
that the operator left for it and nothing else (OWASP: server-side request forgery).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PLACEHOLDER = re.compile(r"\{([A-Za-z][\w.]*)\}")
#: One label of a host name (RFC 1123 section 2.1), in lower case.
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
#: What no pattern can allow: it would end the part of the address that the value stands in.
_BREAKING = re.compile(r"[^\w.~-]|\.\.|^\.|\.$|^-", re.ASCII)
_SPEC = {"label", "pattern", "choices", "default", "redirect"}
_RESERVED = {
    "token",
    "client_id",
    "redirect_uri",
    "url_variables",
    "state",
    "random",
    "next",
    "scope",
}


class InvalidVariable(ValueError):
    """A value that must not be put into an address; ``name`` is the variable's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing or not of the form that it must have")
        self.name = name


@dataclass(frozen=True, slots=True)
class UrlVariable:
    """A variable in a provider's addresses.

    Arguments:
        name: as in ``{name}``.
        label: what users read; "" means the name.
        pattern: a regular expression that all of the value must match; "" means :data:`LABEL`.
        choices: the only values there are, instead of a pattern.
        default: used where no value is given; "" means that users are asked.
        redirect: the parameter of the redirect that brings the value; nobody is asked.
    """

    name: str
    label: str = ""
    pattern: str = ""
    choices: tuple[str, ...] = ()
    default: str = ""
    redirect: str = ""

    def accept(self, value: str) -> str:
        """``value`` as it may be put into an address.

        Raises:
            InvalidVariable: it may not.
        """
        value = value.strip() or self.default
        if not self.pattern and not self.choices:
            value = value.lower()
        if self.choices:
            good = value in self.choices
        else:
            good = len(value) <= 253 and bool(re.fullmatch(self.pattern or LABEL, value))
        if not value or not good or _BREAKING.search(value):
            raise InvalidVariable(self.name)
        return value


def accept_all(
    variables: Mapping[str, UrlVariable], given: Mapping[str, Any], *, redirected: bool = True
) -> dict[str, str]:
    """A checked value for each of ``variables``.

    Arguments:
        redirected: False before the user is back, when what the redirect brings is not known yet.

    Raises:
        InvalidVariable: for the first that is missing or must not be used.
    """
    return {
        name: variable.accept(str(given.get(name) or ""))
        for name, variable in variables.items()
        if redirected or not variable.redirect
    }


def fill(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with each ``{name}`` that ``values`` knows replaced."""

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1])
        return str(found) if isinstance(found, (str, int)) else match[0]

    return PLACEHOLDER.sub(value, text)


def fill_address(template: str, values: Mapping[str, str]) -> str:
    """An address with checked values in it, of which it is certain whose it is.

    Raises:
        InvalidVariable: it would lead elsewhere, which checked values cannot bring about.
    """
    url = fill(template, values)
    before, after = urlsplit(template), urlsplit(url)
    suffix = re.split(r"\{[^}]*\}", before.netloc)[-1]
    same = (before.scheme, "@" in before.netloc) == (after.scheme, "@" in after.netloc)
    if not same or not after.netloc.endswith(suffix) or after.port != _port(before.netloc):
        raise InvalidVariable(template.partition("{")[2].partition("}")[0])
    return url


def _port(netloc: str) -> int | None:
    number = re.search(r":(\d+)$", netloc)
    return int(number[1]) if number else None


def unsafe_variables(template: str, variables: Mapping[str, UrlVariable]) -> list[str]:
    """Names of variables that, where they stand in ``template``, would let a user choose a host.

    That is so where no fixed domain follows a variable that is not limited to choices.
    """
    netloc = urlsplit(template).netloc
    suffix = re.split(r"\{[^}]*\}", netloc)[-1]
    fixed = re.fullmatch(r"[A-Za-z0-9-]*(\.[A-Za-z0-9-]+){2,}(:\d+)?", suffix)
    names = [] if fixed else PLACEHOLDER.findall(netloc)
    return [name for name in names if name in variables and not variables[name].choices]


def parse_variables(raw: Mapping[str, Any] | Iterable[str]) -> dict[str, UrlVariable]:
    """``url_variables`` as settings give them: a dict of dicts, or a list of names."""
    given = raw if isinstance(raw, Mapping) else {name: {} for name in raw}
    return {
        name: UrlVariable(name=name, **{**spec, "choices": tuple(spec.get("choices", ()))})
        for name, spec in given.items()
    }


def variable_problem(raw: object) -> str:
    """What is wrong with ``url_variables`` in itself, in a few words; "" where nothing is."""
    if isinstance(raw, (list, tuple)):
        raw = {name: {} for name in raw} if all(isinstance(n, str) for n in raw) else None
    if not isinstance(raw, Mapping):
        return "must be a list of names or a dict of dicts"
    for name, spec in raw.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name) or name in _RESERVED:
            return f"has {name!r}, which cannot be the name of a variable"
        if not isinstance(spec, Mapping) or set(spec) - _SPEC:
            return f"[{name!r}] must be a dict of {', '.join(sorted(_SPEC))}"
        choices = spec.get("choices", ())
        texts = [value for key, value in spec.items() if key != "choices"]
        sound = isinstance(choices, (list, tuple))
        if not sound or not all(isinstance(text, str) for text in (*texts, *choices)):
            return f"[{name!r}] must have strings, and a list of strings as choices"
        try:
            variable = parse_variables({name: spec})[name]
            re.compile(variable.pattern)
            for value in (*choices, *filter(None, [variable.default])):
                variable.accept(value)
        except re.error:
            return f"[{name!r}] has a pattern that is no regular expression"
        except InvalidVariable:
            return f"[{name!r}] has a default or choice that cannot be part of an address"
    return ""


def unknown_placeholder(template: str, known: Collection[str]) -> str:
    """The first ``{name}`` in ``template`` that is not ``known``, or ""."""
    return next((name for name in PLACEHOLDER.findall(template) if name not in known), "")
