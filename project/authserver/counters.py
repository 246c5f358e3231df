"""How many requests reached the token endpoint, by grant type, since this process started."""

from collections import Counter
from collections.abc import Callable
from threading import Lock

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

_counts: Counter[str] = Counter()
_lock = Lock()


def read() -> dict[str, int]:
    """The count per grant type, both of them always present."""
    with _lock:
        return {"authorization_code": 0, "refresh_token": 0, **_counts}


class CountTokenRequests:
    """Middleware that counts on arrival, so that a request counts whatever becomes of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and request.path == reverse("oauth2_provider:token"):
            with _lock:
                _counts[request.POST.get("grant_type", "")] += 1
        return self.get_response(request)
