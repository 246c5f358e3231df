"""A person's browser, as far as the story needs one: cookies, redirects and HTML forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

TIMEOUT = 30


@dataclass
class Form:
    """An HTML form: where it posts to, its inputs, and its buttons (name, value)."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", "")))
            self._inside = True
        elif self._inside and values.get("name"):
            if tag == "input" and values.get("type") != "submit":
                self.forms[-1].fields[values["name"]] = values.get("value", "")
            elif tag in {"button", "input"}:
                self.forms[-1].buttons.append((values["name"], values.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Page:
    """What the browser shows: the response after all redirects."""

    def __init__(self, response: requests.Response) -> None:
        self.url = response.url
        self.status = response.status_code
        self.text = response.text
        self.visited = [r.headers["Location"] for r in response.history]
        parser = _Forms()
        parser.feed(self.text)
        self.forms = parser.forms

    def form(self, *names: str, action: str = "") -> Form:
        """The first form that has these inputs or buttons and whose action contains ``action``.

        Raises:
            LookupError: there is none.
        """
        for form in self.forms:
            known = {*form.fields, *(name for name, _ in form.buttons)}
            if known.issuperset(names) and action in form.action:
                return form
        wanted = action or ", ".join(names)
        raise LookupError(f"no form with {wanted} at {self.url} (HTTP {self.status})")


class Browser:
    """One person's browser, with a cookie jar of its own."""

    def __init__(self) -> None:
        self.session = requests.Session()

    def open(self, url: str) -> Page:
        """Go to ``url`` and wherever it redirects."""
        return Page(self.session.get(url, timeout=TIMEOUT))

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        """Post ``form`` of ``page`` with its own values and ``values``."""
        answer = self.session.post(
            urljoin(page.url, form.action),
            data={**form.fields, **values},
            headers={"Referer": page.url},
            timeout=TIMEOUT,
        )
        return Page(answer)

    def sign_in(self, page: Page, username: str, password: str) -> Page:
        """Fill in the login form of ``page``."""
        return self.submit(
            page, page.form("username", "password"), username=username, password=password
        )
