"""Shares with their intervals on a page, as text and as small pictures."""

from collections.abc import Mapping
from typing import Any

from medrl.evaluation.html import Html, tag


def figure(found: Mapping[str, Any]) -> Html:
    """A share with its interval."""
    if found["value"] is None:
        return tag("span", "-")
    ends = found.get("interval")
    small = tag("small", f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}") if ends else None
    return tag("span", percent(found["value"]), " ", small)


def bar(found: Mapping[str, Any]) -> Html | None:
    """The same as a picture: the interval as a band, the value as a line."""
    if found["value"] is None:
        return None
    low, high = found.get("interval") or (found["value"], found["value"])
    band = tag("i", style=f"left:{100 * low:.2f}%;width:{100 * max(0.0, high - low):.2f}%")
    label = f"{100 * found['value']:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return tag(
        "span", band, tag("b", style=f"left:{100 * found['value']:.2f}%"), class_="bar", role="img", aria_label=label
    )


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def said(share: float) -> str:
    """A share within a sentence."""
    return f"{100 * share:.3g} %"


def number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
