"""Resource server: your own API, for callers that bring an access token (RFC 6750).

::

    @bearer_required(issuer="https://id.example", audience="https://api.example", scopes=["read"])
    def projects(request):
        return JsonResponse({"subject": request.bearer.subject})

Apart from the rest of the package: needs no setting, no model and not even ``INSTALLED_APPS``. JWTs
need joserfc, the extra ``bearer``; opaque tokens need nothing more than an introspection endpoint.
For Django REST framework see :mod:`oauth_tokens.bearer.drf`.
"""

from __future__ import annotations

from .decorators import bearer_required
from .errors import BearerError
from .tokens import Bearer
from .validator import Validator

__all__ = ["Bearer", "BearerError", "Validator", "bearer_required"]
