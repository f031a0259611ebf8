"""How graded answers look on the page of a report: HealthBench's and K-QA's figures, slices, and the lowest answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.html import Child, Html, conversation, foreign, table, tag
from medrl.evaluation.html_figures import bar, figure, percent, said
from medrl.evaluation.rubric_figures import COUNTED, FIGURES, main_figure

SCORE = (
    "Percent of the points that can be had, with 95 % intervals over problems. The score is HealthBench's: the mean over "
    "problems of the points of met criteria over all positive points, clipped to 0 to 100. HealthBench shows its grader "
    "answers without words too; here they count as the least that their rubric allows. The clipped mean cuts each answer "
    "off at 0 by itself, as HuatuoGPT-3's reward does. Length-adjusted takes off what a visible answer has beyond 200 words, "
    "after HuatuoGPT-3, which takes half of that, or in its launcher none, off the clipped points, by tokens."
)
STATEMENT = (
    "K-QA's measures. Comprehensiveness is the share of the Must_have statements that an answer states, the hallucination "
    "rate how many of all its statements an answer contradicts; one without words contradicts none."
)


def rubric_sections(report: Mapping[str, Any]) -> list[Child]:
    """One section for each set with graded answers."""
    judge = _judge(report.get("judge"))
    return [_section(row["set"], row["rubric"], judge) for row in report["sets"] if row.get("rubric")]


def _judge(config: Mapping[str, Any] | None) -> str:
    """The model that graded; behind a cache it is the inner client's."""
    client: Any = (config or {}).get("client") or {}
    while isinstance(client.get("client"), Mapping):
        client = client["client"]
    return str(client.get("model") or client.get("type") or "a judge")


def _section(name: str, found: Mapping[str, Any], judge: str) -> Child:
    shares = "score" in found
    body: list[Child] = [
        tag("h2", name),
        tag("p", f"{found['problems']} problems, {found['replies']} replies, graded by {judge}.", class_="soft"),
    ]
    main = main_figure(found)
    if main["value"] is None:
        body.append(tag("p", f"No figures: {said(main['missing'])} of the replies have no score.", class_="bad"))
    if main["missing"] and main["bounds"]:
        low, high = main["bounds"]
        label = "score" if shares else "comprehensiveness"
        line = f"With every missing score at its worst the {label} would be {said(low)}, at its best {said(high)}."
        body.append(tag("p", line))
    body += [_missing(found), _unsent(found["unsent"])]
    if found["truncated"]:
        body.append(tag("p", f"{said(found['truncated'])} of the replies were cut at their token limit."))
    rows = [
        [label, *(_counted(one) if key == COUNTED else [one["n"], figure(one), _bar(one)])]
        for key, (_, label) in FIGURES.items()
        if (one := found.get(key)) is not None
    ]
    body += [table(["", "problems", "percent", ""], rows), tag("p", SCORE if shares else STATEMENT, class_="soft")]
    for kind, some in found.get("slices", {}).items():
        listed = [[label, one["n"], figure(one), _bar(one)] for label, one in some.items()]
        body += [tag("h3", f"By {kind}"), table([kind, "problems", "score", ""], listed)]
    return tag("section", body)


UNSENT = {"empty": "without a visible answer", "endless": "without an end, longer than the judge is shown"}


def _missing(found: Mapping[str, Any]) -> Child:
    if not found["unscored"]:
        return None
    rows = [[cause, count, foreign(found["reasons"][cause], 300)] for cause, count in found["unscored"].items()]
    return table(["no score", "replies", "the first of them"], rows, numbers_from=9)


def _unsent(unsent: Mapping[str, int]) -> Child:
    if not unsent:
        return None
    kinds = ", ".join(f"{count} {UNSENT[what]}" for what, count in unsent.items())
    line = f"Not shown to the judge, and worth the least that one can earn: {kinds}."
    return tag("p", line, class_="warn")


def _counted(found: Mapping[str, Any]) -> list[Child]:
    """A number of statements, which is no share of anything and has no bar."""
    if found["value"] is None:
        return [found["n"], "-", None]
    ends = found["interval"]
    small = tag("small", f"{ends[0]:.2f} to {ends[1]:.2f}") if ends else None
    return [found["n"], tag("span", f"{found['value']:.2f} an answer ", small), None]


def _bar(found: Mapping[str, Any]) -> Html | None:
    """A share below 0 has no place on a scale from 0 to 100."""
    inside = found["value"] is not None and min((found["value"], *(found["interval"] or ()))) >= 0.0
    return bar(found) if inside else None


def lowest_replies(rows: Sequence[Mapping[str, Any]]) -> Child:
    """The answers with the fewest points, with what the judge found of each criterion."""
    if not rows:
        return None
    note = "One reply each of the problems whose answers earn the smallest share of their points, the lowest first."
    return [tag("h2", "Lowest graded answers"), tag("p", note, class_="soft"), [_reply(row) for row in rows]]


def _reply(row: Mapping[str, Any]) -> Html:
    told = [f"{percent(row['raw'])} %", row["reason"]]
    if row["finish_reason"] == "length":
        told.append("cut at the token limit")
    summary = tag(
        "summary", tag("strong", f"{row['set']} {row['problem_id']}"), " ", tag("span", "; ".join(told), class_="soft")
    )
    criteria = [["yes" if one["met"] else "no", f"{one['points']:g}", one["criterion"]] for one in row["criteria"]]
    head = ["taken as met" if row["unsent"] else "met", "points", "criterion"]
    return tag(
        "details", summary, conversation(row["messages"]), tag("p", "Reply"), foreign(row["reply"]),
        table(head, criteria, numbers_from=9),
    )  # fmt: skip
