"""The picture of the token rates: bars on a logarithmic scale, as an SVG that reads in light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import log10

from bench.figures import number

_BAR, _GAP, _LEFT, _WIDTH = 26, 12, 190, 760
_STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#24292f}.o{fill:#0b6bcb}.p{fill:#8c959f}.f{fill:#c9d1d9}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.f{fill:#484f58}}"
)


def chart(rates: Mapping[str, float], *, title: str) -> str:
    """Bars of the rates a second, the largest first; `ours` stands out, floors and limits step back."""
    ordered = sorted(rates.items(), key=lambda each: -each[1])
    top = log10(ordered[0][1])
    rows = []
    for place, (name, rate) in enumerate(ordered):
        y = 40 + place * (_BAR + _GAP)
        width = max(2.0, log10(max(rate, 1.0)) / top * (_WIDTH - _LEFT - 110))
        kind = "o" if name == "ours" else "f" if "constant" in name or "openssl" in name else "p"
        rows.append(
            f'<text x="{_LEFT - 10}" y="{y + 18}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" rx="4"/>'
            f'<text x="{_LEFT + width + 8:.0f}" y="{y + 18}">{number(rate)}</text>'
        )
    height = 50 + len(ordered) * (_BAR + _GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}"><style>{_STYLE}</style><text x="10" y="22">{escape(title)}</text>'
        + "".join(rows)
        + "</svg>\n"
    )
