"""How a comparison of two models looks: paired tests by set, judged pairs, and nothing that unblinds the other page."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.comparing import lacking, verdict
from medrl.evaluation.html import Child, page, table, tag

READERS = {
    "strict": "strict", "first": "first named", "last": "last named", "points": "points of the rubric",
    "comprehensiveness": "Must_have statements stated", "contradictions": "statements contradicted, per 100 answers",
}  # fmt: skip


def compare_page(found: Mapping[str, Any]) -> str:
    """The page of what `medrl compare` found; it names the models, so it is read after the blinded one."""
    names = (found["A"]["name"], found["B"]["name"])
    body: list[Child] = [
        tag("h1", f"{names[0]} against {names[1]}"),
        tag("p", f"{found['problems']} problems that both answered; medrl {found['medrl_version']}", class_="soft"),
    ]
    body += [tag("p", line, class_="warn") for line in lacking(found)]
    rows = [
        row for name, one in found["sets"].items() for reader, label in READERS.items()
        if reader in one for row in [_row(name, label, one[reader])]
    ]  # fmt: skip
    if rows:
        head = [
            "set",
            "reader",
            "n",
            names[0],
            names[1],
            "difference",
            "95 %",
            "only A",
            "only B",
            "p",
            "p Holm",
            "left out",
        ]
        body += [tag("h2", "Paired tests"), table(head, rows, numbers_from=2)]
        body += [tag("p", f"{name}: {verdict(one, names)}.") for name, one in found["sets"].items()]
        note = (
            "Percent. p is McNemar's exact test where every problem has one reply, right or wrong, else a paired bootstrap; "
            "Holm's correction is over the sets, by the strict reader or the rubric. Left out: problems that one of the two "
            "has no score for; where more than 10 % have none there is no verdict, only what the difference lies between."
        )
        body.append(tag("p", note, class_="soft"))
    if found.get("judged"):
        body.append(_judged(found["judged"], names))
    if found.get("text"):
        body += _texts(found["text"], names)
    return page(f"{names[0]} against {names[1]}", *body)


def _row(name: str, reader: str, one: Mapping[str, Any]) -> Sequence[Child]:
    if one["p"] is None:
        low, high = one["bounds"]
        between = f"between {100 * low:+.1f} and {100 * high:+.1f}"
        return [name, reader, one["n"], "-", "-", between, "-", "-", "-", "no verdict", "", one["left_out"]]
    low, high = one["interval"]
    alone = [one["only_first"], one["only_second"]]
    return [
        name, reader, one["n"], f"{100 * one['first']:.1f}", f"{100 * one['second']:.1f}",
        f"{100 * one['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}",
        *("-" if count is None else count for count in alone), f"{one['p']:.3g}",
        f"{one['p_holm']:.3g}" if "p_holm" in one else "", one["left_out"],
    ]  # fmt: skip


def _judged(found: Mapping[str, Any], names: tuple[str, str]) -> Child:
    rows: list[Sequence[Child]] = [
        ["pairs judged", found["n"]],
        [f"{names[0]} wins", found["win"]],
        ["ties", found["tie"]],
        [f"{names[1]} wins", found["loss"]],
        [f"win rate of {names[0]}", _share(found["win_rate"], found["interval"])],
        ["at equal length", _share(found["length_controlled"], found["length_controlled_interval"])],
        ["pairs of nearly equal length", found["near"]],
        ["verdict changed with the order", _share(found["disagreement"], None)],
        ["first shown won, share of all showings", _share(found["first_shown_won"], None)],
        ["decided without a judge (empty or endless)", found["by_rule"]],
        ["not judged, left out", sum(found["failed"].values())],
    ]
    if found["win_rate"] is None and found["bounds"]:
        low, high = found["bounds"]
        rows.append(
            ["win rate with every pair that was not judged lost, and won", f"{100 * low:.1f} to {100 * high:.1f} %"]
        )
    note = "Each pair is judged in both orders; two verdicts that disagree are a tie. Win rates count ties as halves."
    return [tag("h2", f"Judged by {found['judge']}"), table(["", ""], rows), tag("p", note, class_="soft")]


def _texts(found: Mapping[str, Any], names: tuple[str, str]) -> list[Child]:
    body: list[Child] = [tag("h2", "Against the reference text")]
    for name, both in found.items():
        rows = [[figure, *(_number(one.get(figure)) for one in both)] for figure in both[0]]
        body += [tag("h3", name), table(["figure", *names], rows)]
    return body


def _share(value: float | None, ends: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" + (f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else "")


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
