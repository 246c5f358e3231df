"""The story of ``make demo``: what happens to a connection, over real HTTP, a line per step.

Every fact in a line was measured: counted at the provider, or read from a page.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import redis
import requests

from . import environment
from .accounts import ACME_ALICE, ADMIN, ALICE
from .browser import Browser, Page

SITE = f"http://127.0.0.1:{os.environ['PORT']}"
ACME = f"http://127.0.0.1:{os.environ['AUTH_PORT']}"
CALLERS = 16
COLOURS = "FORCE_COLOR" in os.environ


class StepFailed(Exception):
    """A step of the story did not hold; the message says what was found instead."""


def expect(held: bool, found: object) -> None:
    """Fail the step unless ``held``."""
    if not held:
        raise StepFailed(str(found))


def until(what: str, check: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of ``check``, asked every 0.2 s for at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        if time.monotonic() > deadline:
            raise StepFailed(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.2)


def styled(text: str, code: str) -> str:
    """``text`` in an ANSI style where the output is a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def note(text: str) -> None:
    """A line about what the story is waiting for."""
    print(styled(f"     {text}", "2"), flush=True)


class Story:
    """The steps, in order, and what they share: alice's browser and the admin's."""

    def __init__(self) -> None:
        self.alice = Browser()
        self.admin = Browser()

    @property
    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Title and function of each step; a function returns the measured fact."""
        return [
            ("Five processes are up", self.processes_answer),
            ("Alice signs in at the demo site", self.sign_in),
            ("Alice is asked by Acme for her consent, and cancels", self.cancel),
            ("Alice connects her Acme account", self.connect),
            ("A view calls Acme's API", self.call_api),
            ("The token nears its expiry: beat refreshes it", self.beat_refreshes),
            ("The token expires with beat paused: a view refreshes it", self.view_refreshes),
            (f"Expired again, {CALLERS} requests at once", self.one_refresh_for_all),
            ("Alice withdraws her grant at Acme: the admin shows it", self.revoke),
            ("Alice reconnects and the view works again", self.reconnect),
        ]

    def processes_answer(self) -> str:
        """Web, authorization server, Redis and a worker answer; beat has written its pid file."""
        for url in (f"{SITE}/", f"{ACME}/counters/"):
            until(f"an answer from {url}", lambda url=url: answers(url), 60)
        from .celery import app

        broker = redis.from_url(app.conf.broker_url)
        until("an answer from Redis", lambda: pings(broker), 30)
        until("an answer from the worker", lambda: app.control.ping(timeout=1), 60)
        until("the start of beat", beat_pid, 30)
        return "web, auth, worker, beat and redis answer"

    def sign_in(self) -> str:
        """Through the login form, as a person does."""
        page = self.alice.sign_in(self.alice.open(f"{SITE}/login/"), ALICE.username, ALICE.password)
        expect(page.url == f"{SITE}/dashboard/", f"the login ended at {page.url}")
        return f"signed in as {ALICE.username}, nothing connected yet"

    def cancel(self) -> str:
        """The provider sends her back with an error (RFC 6749 section 4.1.2.1)."""
        before = counted("authorization_code")
        page = self.consent_page()
        page = self.alice.submit(page, page.form("allow"))
        expect("error=access_denied" in page.url, f"after cancelling: {page.url}")
        expect(page.status == requests.codes.ok, f"the page about it: HTTP {page.status}")
        expect("/oauth/acme/connect/" in page.text, "the page offers no way to try again")
        expect(self.state()["status"] == "not connected", "something was stored")
        expect(counted("authorization_code") == before, "a code was exchanged")
        return "a page says so and offers to try again; no code exchanged, nothing stored"

    def consent_page(self) -> Page:
        """Where Acme asks whether the demo site may use the account, signed in there."""
        page = self.alice.open(f"{SITE}/oauth/acme/connect/?next=/dashboard/")
        if "/login/" in page.url:
            page = self.alice.sign_in(page, ACME_ALICE.username, ACME_ALICE.password)
        expect("code_challenge_method=S256" in page.url, f"no PKCE S256 in {page.url}")
        expect("See your name" in page.text, f"no consent page at {page.url}")
        return page

    def connect(self) -> str:
        """Authorization code with PKCE: connect, sign in at Acme, consent, and back."""
        before = counted("authorization_code")
        page = self.consent_page()
        page = self.alice.submit(page, page.form("allow"), allow="Authorize")
        expect(page.url == f"{SITE}/dashboard/", f"after consent: {page.url}, {page.status}")
        state = self.state()
        expect(state["status"] == "active", f"the connection is {state['status']}")
        expect(counted("authorization_code") == before + 1, "not exactly one code was exchanged")
        left = state["expires_in"]
        return f"PKCE S256, consent given, 1 code exchanged, token good for {left:.0f} s"

    def call_api(self) -> str:
        """A fresh token is used as it is: no request to the token endpoint."""
        before = counted("refresh_token")
        profile = self.profile()
        expect(ACME_ALICE.first_name in self.alice.open(f"{SITE}/dashboard/").text, "no answer")
        expect(counted("refresh_token") == before, "a fresh token was refreshed")
        return f"200, Acme says: {profile['name']} <{profile['email']}>; no refresh needed"

    def beat_refreshes(self) -> str:
        """Nobody asks for the token meanwhile."""
        first, before = self.profile(), counted("refresh_token")
        left = self.state()["expires_in"]
        note(f"{left:.0f} s left; nobody calls the view now")

        def refreshed() -> float | None:
            nonlocal left
            state = self.state()
            if state["version"] != first["version"]:
                return left
            left = state["expires_in"]
            return None

        at = until("a refresh by beat", refreshed, left + 10)
        expect(at > 0, f"beat refreshed the token {-at:.1f} s after its expiry")
        posts = counted("refresh_token") - before
        expect(posts == 1, f"{posts} refresh requests reached Acme instead of 1")
        return f"refreshed {at:.0f} s before expiry: {self.difference(first)}, {posts} POST"

    def view_refreshes(self) -> str:
        """With beat stopped, the next caller refreshes."""
        first = self.profile()
        with beat_paused():
            self.wait_for_expiry()
            first["version"], before = self.state()["version"], counted("refresh_token")
            started = time.monotonic()
            self.profile()
            took = time.monotonic() - started
            posts = counted("refresh_token") - before
            expect(posts == 1, f"{posts} refresh requests reached Acme instead of 1")
            return f"{self.difference(first)}, {posts} POST, page in {took * 1000:.0f} ms"

    def one_refresh_for_all(self) -> str:
        """All get the new token; the rotated one is sent once, or Acme would end the grant."""
        with beat_paused():
            self.wait_for_expiry()
            before, version = counted("refresh_token"), self.state()["version"]
            cookies = self.alice.session.cookies.get_dict()

            def call(_: int) -> tuple[int, float]:
                started = time.monotonic()
                answer = requests.get(f"{SITE}/profile.json", cookies=cookies, timeout=30)
                return answer.status_code, time.monotonic() - started

            with ThreadPoolExecutor(CALLERS) as pool:
                answers = list(pool.map(call, range(CALLERS)))
            good = sum(status == requests.codes.ok for status, _ in answers)
            posts = counted("refresh_token") - before
            expect(good == CALLERS, f"statuses {sorted(status for status, _ in answers)}")
            expect(posts == 1, f"{posts} refresh requests reached Acme instead of 1")
            now = self.state()["version"]
            expect(now == version + 1, f"the version went from {version} to {now}")
            slowest = max(took for _, took in answers)
            return f"{good} x 200, {posts} POST, the slowest answer after {slowest * 1000:.0f} ms"

    def revoke(self) -> str:
        """Acme tells nobody: the next call is answered 401, and the refresh after it fails."""
        page = self.alice.open(f"{ACME}/")
        page = self.alice.submit(page, page.form(action="/withdraw/"))
        expect("can no longer use your account" in page.text, "Acme did not withdraw the grant")
        answer = self.alice.session.get(f"{SITE}/profile.json", timeout=30)
        expect(answer.status_code == requests.codes.unauthorized, f"HTTP {answer.status_code}")
        page = self.admin.open(f"{SITE}/admin/login/?next=/admin/oauth_tokens/oauthtoken/")
        page = self.admin.sign_in(page, ADMIN.username, ADMIN.password)
        row = table_row(page, ALICE.username)
        state = next((cell for cell in row if "needs re-authentication" in cell.lower()), None)
        expect(state is not None, f"the admin's row reads: {' · '.join(row)}")
        return f"the view answers 401; the admin: {state}"

    def reconnect(self) -> str:
        """The same way as at first; the row is the same one."""
        page = self.alice.open(f"{SITE}/dashboard/")
        expect("/oauth/acme/connect/" in page.text, "the dashboard offers no way to reconnect")
        self.connect()
        profile = self.profile()
        return f"200, Acme says: {profile['name']}; version {profile['version']}"

    def profile(self) -> dict[str, Any]:
        """What the view got from Acme's API."""
        answer = self.alice.session.get(f"{SITE}/profile.json", timeout=30)
        expect(answer.status_code == requests.codes.ok, f"the view: {answer.status_code}")
        return answer.json()

    def state(self) -> dict[str, Any]:
        """The stored row's state; looking at it refreshes nothing."""
        answer = self.alice.session.get(f"{SITE}/state.json", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def difference(self, first: dict[str, Any]) -> str:
        """That the access token is another one, in the site's eyes and in Acme's."""
        now = self.profile()
        old, new = first["token"]["number"], now["token"]["number"]
        expect(new != old, f"Acme still sees access token no. {old}")
        expect(now["version"] == first["version"] + 1, f"the version is {now['version']}")
        return f"version {first['version']} -> {now['version']}, new access token (no. {new})"

    def wait_for_expiry(self) -> None:
        """Until the stored access token is past its expiry."""
        note(f"beat is paused; {self.state()['expires_in']:.0f} s until the token expires")
        until("expiry", lambda: self.state()["expires_in"] < 0, 90)


def answers(url: str) -> bool:
    """Whether ``url`` is served."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def pings(broker: redis.Redis) -> bool:
    """Whether the Redis server answers."""
    try:
        return bool(broker.ping())
    except redis.ConnectionError:
        return False


def counted(grant_type: str) -> int:
    """Requests of this grant type that reached Acme's token endpoint so far."""
    return requests.get(f"{ACME}/counters/", timeout=30).json()[grant_type]


def beat_pid() -> int | None:
    """Process id of Celery beat, once it runs."""
    try:
        return int((environment.VAR / "beat.pid").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def beat_paused() -> Iterator[None]:
    """Stop beat as a crashed machine would, and let it go on afterwards."""
    pid = beat_pid()
    expect(pid is not None, "beat is not running")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def table_row(page: Page, text: str) -> list[str]:
    """The cells, as plain text, of the first row of the admin's list that has a cell ``text``."""
    for row in re.findall(r"<tr\b.*?</tr>", page.text, re.DOTALL):
        cells = re.findall(r"<(t[dh]) class=\"field-[^>]*>(.*?)</\1>", row, re.DOTALL)
        words = [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for _, cell in cells]
        if text in words:
            return words
    raise StepFailed(f"no row with {text} at {page.url} (HTTP {page.status})")


def play(story: Story) -> bool:
    """Play all steps until one does not hold; returns whether all of them held."""
    begun = time.monotonic()
    steps = story.steps
    for number, (title, step) in enumerate(steps, 1):
        started = time.monotonic()
        try:
            fact = step()
        except (StepFailed, LookupError, ValueError, requests.RequestException) as error:
            print(styled(f"  ✗  {number}. {title}", "1;31"), flush=True)
            print(f"     {error}\n", flush=True)
            print(f"Step {number} of {len(steps)} did not hold: {title}.", flush=True)
            for name in ("web", "auth", "worker", "beat"):
                print(environment.tail(name), flush=True)
            return False
        took = time.monotonic() - started
        print(f"  {styled('✓', '1;32')}  {styled(f'{number}. {title}', '1')}", flush=True)
        print(f"     {fact} {styled(f'({took:.1f} s)', '2')}", flush=True)
    took = time.monotonic() - begun
    print(f"\nAll {len(steps)} steps held, in {took:.0f} s.", flush=True)
    return True


def addresses() -> str:
    """Where to look, and who to be."""
    lines = [
        ("Demo site", f"{SITE}/", f"{ALICE.username} / {ALICE.password}"),
        ("Admin", f"{SITE}/admin/", f"{ADMIN.username} / {ADMIN.password}"),
        ("Acme ID", f"{ACME}/", f"{ACME_ALICE.username} / {ACME_ALICE.password}"),
    ]
    shown = [f"  {name:<11}{url:<32}{login}" for name, url, login in lines]
    return "\n".join(["", *shown, "", "Beat keeps the connection fresh. Ctrl-C ends everything."])


def main() -> int:
    """Play the story; unless ``ONCE`` is set, stay so that the supervisor goes on serving."""
    # The supervisor ends processes with SIGTERM: leave no beat stopped behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("\nThe story of a connection\n", flush=True)
    if not play(Story()):
        return 1
    if os.environ.get("ONCE", "0") == "0":
        print(addresses(), flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
