"""Units for distances in time, as they stand after "in", "for" and before "ago".

Django's own are for a distance by itself, which in German and others is another grammatical case.
"""

from __future__ import annotations

from django.utils.translation import npgettext_lazy

#: The ``time_strings`` of :func:`django.utils.timesince.timesince`.
TIME_STRINGS = {
    "year": npgettext_lazy("in, for, ago", "%(num)d year", "%(num)d years", "num"),
    "month": npgettext_lazy("in, for, ago", "%(num)d month", "%(num)d months", "num"),
    "week": npgettext_lazy("in, for, ago", "%(num)d week", "%(num)d weeks", "num"),
    "day": npgettext_lazy("in, for, ago", "%(num)d day", "%(num)d days", "num"),
    "hour": npgettext_lazy("in, for, ago", "%(num)d hour", "%(num)d hours", "num"),
    "minute": npgettext_lazy("in, for, ago", "%(num)d minute", "%(num)d minutes", "num"),
}
