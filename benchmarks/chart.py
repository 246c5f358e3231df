"""The chart of the README: one row a contestant, speed and correctness side by side."""

from __future__ import annotations

from html import escape

from benchmarks.bench import Table

WIDTH, ROW, TOP = 1040, 46, 92
NAMES, READ, REFRESH, OUTCOME = 24, 260, 520, 780
BAR = 150
OURS, THEIRS, INK, FAINT, BAD, GOOD = (
    "#0b7a75",
    "#b8c2cc",
    "#1f2933",
    "#7b8794",
    "#b42318",
    "#0b7a75",
)


def draw(tables: dict[str, Table]) -> str:
    """The chart as SVG, from the tables "hot", "refresh-tls" and "correctness"."""
    names = [row[0] for row in tables["correctness"].rows]
    height = TOP + ROW * len(names) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui, sans-serif">',
        "<title>oauth_tokens and what one would use instead</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff" stroke="#e4e7eb"/>',
        heading(READ, "Read a valid token", "x a bare objects.get() of the row"),
        heading(REFRESH, "One refresh over TLS", "x a bare POST, connection kept open"),
        heading(OUTCOME, "16 threads, one expired token", "provider rotates, revokes on replay"),
    ]
    for column, key in ((READ, "hot"), (REFRESH, "refresh-tls")):
        ratios = {name: tables[key].ratios[name] for name in names if name in tables[key].ratios}
        scale = BAR / max(*ratios.values(), 1.0)
        bottom = TOP + ROW * len(names)
        parts.append(
            f'<line x1="{column + scale:.1f}" y1="{TOP - 8}" x2="{column + scale:.1f}" '
            f'y2="{bottom}" stroke="{FAINT}" stroke-dasharray="3 3"/>'
        )
        parts.append(text(column + scale, bottom + 16, "1 x", 12, FAINT, anchor="middle"))
        for at, name in enumerate(names):
            parts.append(bar(column, TOP + ROW * at, ratios.get(name), scale, ours=at == 0))
    for at, (name, posts, failures, grant) in enumerate(tables["correctness"].rows):
        middle = TOP + ROW * at + 20
        parts.append(text(NAMES, middle, name, 14, INK, bold=at == 0))
        if failures.isdigit():
            said = f"{posts} POST{'s' * (posts != '1')}, {failures} failures, grant {grant}"
            colour = GOOD if grant == "kept" else BAD
        else:
            said, colour = failures, FAINT
        parts.append(text(OUTCOME, middle, said, 12, colour, bold=at == 0))
    return "\n".join([*parts, "</svg>", ""])


def heading(x: float, title: str, subtitle: str) -> str:
    return text(x, 36, title, 14, INK, bold=True) + text(x, 55, subtitle, 11, FAINT)


def bar(x: float, y: float, ratio: float | None, scale: float, *, ours: bool) -> str:
    if ratio is None:
        return text(x, y + 20, "refreshes nothing", 12, FAINT)
    width = ratio * scale
    shape = (
        f'<rect x="{x}" y="{y + 4}" width="{width:.1f}" height="22" rx="3" '
        f'fill="{OURS if ours else THEIRS}"/>'
    )
    return shape + text(x + width + 6, y + 20, f"{ratio:.2f} x", 12, INK, bold=ours)


def text(
    x: float,
    y: float,
    words: str,
    size: int,
    colour: str,
    *,
    bold: bool = False,
    anchor: str = "start",
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight} paint-order="stroke" stroke="#ffffff" stroke-width="5">'
        f"{escape(words)}</text>"
    )
