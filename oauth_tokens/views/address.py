"""The page that asks for what a provider's addresses need: a subdomain, a region."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from ..exceptions import scope_signature
from ..providers.base import Provider
from ..providers.variables import InvalidVariable, UrlVariable


class VariableField(forms.CharField):
    """A value for one variable, as it may be put into an address."""

    def __init__(self, variable: UrlVariable) -> None:
        self.variable = variable
        label = (
            _(variable.label) if variable.label else variable.name.replace("_", " ").capitalize()
        )
        choices = [(value, value) for value in variable.choices]
        widget = forms.Select(choices=choices) if choices else forms.TextInput()
        super().__init__(label=label, widget=widget, required=not variable.default)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        try:
            return self.variable.accept(text)
        except InvalidVariable:
            # Not the value: the page may be linked to from anywhere.
            raise forms.ValidationError(_("This is not of the form that is needed here.")) from None


class AddressForm(forms.Form):
    """One field for each variable of a provider."""

    def __init__(self, provider: Provider, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, variable in asked_for(provider).items():
            self.fields[name] = VariableField(variable)


def asked_for(provider: Provider) -> dict[str, UrlVariable]:
    """The variables that are not brought by the redirect."""
    variables = provider.url_variables.items()
    return {name: variable for name, variable in variables if not variable.redirect}


def given_variables(
    request: HttpRequest, provider: Provider, known: dict[str, str], agreed: bool
) -> dict[str, str] | HttpResponse:
    """The values that ``request`` brings for the variables of ``provider``, or the page that asks.

    Nobody is asked where there is no choice. Values that this user has not agreed to are asked
    about in any case: another site must not choose on whose server the user consents.

    Arguments:
        known: values of the connection that there is already, to begin with.
        agreed: whether the request is one that a page of ours has given this user to send.
    """
    wanted = asked_for(provider)
    settled = {name: _settled(variable, known) for name, variable in wanted.items()}
    given = {name: request.GET[name] for name in wanted if name in request.GET}
    if not given and all(settled.values()):
        return settled
    form = AddressForm(provider, {**settled, **given} if given else None, initial=known)
    if form.is_valid() and agreed:
        values: dict[str, str] = form.cleaned_data
        return values
    kept = {key: request.GET[key] for key in ("next", "scope") if key in request.GET}
    user = str(request.user.pk)
    kept["signature"] = scope_signature(provider.name, kept.get("scope", ""), user)
    context = {"name": provider.display_name, "form": form, "kept": kept}
    return render(request, "oauth_tokens/address.html", context, status=400 if form.errors else 200)


def _settled(variable: UrlVariable, known: dict[str, str]) -> str:
    """The value about which nobody has to be asked, or ""."""
    if variable.default:
        return known.get(variable.name) or variable.default
    return variable.choices[0] if len(variable.choices) == 1 else ""
