"""How the report of one model looks: one HTML page with the table, slices, calibration, worst samples and distrusted rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.html import Child, Html, conversation, foreign, page, shorten, table, tag
from medrl.evaluation.html_figures import bar, figure, number, percent, said
from medrl.evaluation.rubric_page import lowest_replies, rubric_sections

READERS = {"strict": "strict", "first": "first named", "last": "last named"}


def report_page(report: Mapping[str, Any]) -> str:
    """The page of what `report.report` returned."""
    sets = [row for row in report["sets"] if row.get("problems")]
    made = ", ".join(f"{name} {value}" for name, value in report["made"].items() if value not in (None, "", {}))
    body: list[Child] = [
        tag("h1", f"Evaluation of {report['model']}"),
        tag(
            "p",
            f"{made}; medrl {report['medrl_version']}" if made else f"medrl {report['medrl_version']}",
            class_="soft",
        ),
        _overview(sets, report["mean_of_sets"]) if sets else None,
        [[_unchecked(row), _texts(row)] for row in report["sets"] if not row.get("problems")],
    ]
    body += [_set(row) for row in sets]
    body += rubric_sections(report)
    body += [_worst(report["worst"]), lowest_replies(report["lowest"]), _distrusted(report)]
    return page(f"Evaluation of {report['model']}", *body)


def _overview(sets: Sequence[Mapping[str, Any]], mean: float | None) -> Child:
    head = ["set", "problems", "strict", "", "first named", "last named", "unanswered", "truncated", "no score"]
    rows: list[Sequence[Child]] = []
    for row in sets:
        found = row["accuracy"]
        lenient = [figure(found[name]) if name in found else "" for name in ("first", "last")]
        without = sum(row["unscored"].values()) / row["replies"] if row["replies"] else 0.0
        rows.append([
            row["set"], row["problems"], figure(found["strict"]), bar(found["strict"]), *lenient,
            percent(row["unanswered"]), percent(row["truncated"]), percent(without),
        ])  # fmt: skip
    if mean is not None and len(sets) > 1:
        rows.append(["mean of sets", "", percent(mean), "", "", "", "", "", ""])
    note = (
        "Accuracy in percent with 95 % intervals over problems. Strict: the verifier's verdict on the one answer that a "
        "reply commits to. First and last named: the first and the last option that the visible answer names, two readers "
        "that are never combined. What has no score is left out; from 10 % on no accuracy is given."
    )
    return [table(head, rows), tag("p", note, class_="soft")]


def _unchecked(row: Mapping[str, Any]) -> Child:
    if not row["not_checked"]:
        return None
    kinds = ", ".join(f"{count} {kind}" for kind, count in row["not_checked"].items())
    graded = "; give a judge to have the rubrics graded: medrl eval --grader" if row["ungraded"] else ""
    return tag(
        "p", f"{row['set']}: {kinds} problems without a reference to check against{graded or '; they need a judge'}.",
        class_="warn",
    )  # fmt: skip


def _set(row: Mapping[str, Any]) -> Child:
    body: list[Child] = [tag("h2", row["set"])]
    strict = row["accuracy"]["strict"]
    if strict["value"] is None:
        body.append(tag("p", f"No accuracy: {said(strict['missing'])} of the replies have no score.", class_="bad"))
    if strict["bounds"] and strict["missing"]:
        low, high = strict["bounds"]
        body.append(tag("p", f"With every missing score as wrong {said(low)}, as right {said(high)}."))
    if row["not_checked"]:
        body.append(
            tag("p", f"{row['not_checked']} further problems have neither a reference nor a grade.", class_="warn")
        )
    if row["unscored"]:
        body.append(tag("p", "No score: " + ", ".join(f"{count} {why}" for why, count in row["unscored"].items())))
    if row.get("distrusted"):
        trusted = row["accuracy_trusted"]
        body.append(
            tag(
                "p",
                f"The auditor distrusts {row['distrusted']} problems; on the other {trusted['n']}: ",
                figure(trusted),
            )
        )
    if row["pass_at_k"]:
        rows = [[f"pass@{k}", found["n"], _passed(found), bar(found)] for k, found in row["pass_at_k"].items()]
        body += [tag("h3", "pass@k"), table(["", "problems", "share", ""], rows)]
    for dimension, found in row["slices"].items():
        rows = [[label, one["n"], figure(one), bar(one)] for label, one in found.items()]
        body += [tag("h3", f"By {dimension}"), table([dimension, "problems", "strict", ""], rows)]
    if row["calibration"]:
        body.append(_calibration(row["calibration"]))
    body.append(_texts(row))
    return tag("section", body)


def _passed(found: Mapping[str, Any]) -> Html:
    """pass@k, or what it lies between where too many numbers are missing."""
    if found["value"] is not None:
        return figure(found)
    low, high = found["bounds"]
    return tag("span", "- ", tag("small", f"between {100 * low:.1f} and {100 * high:.1f}"))


def _texts(row: Mapping[str, Any]) -> Child:
    if not row.get("text"):
        return None
    rows = [[name, number(value)] for name, value in row["text"].items()]
    return [tag("h3", f"{row['set']} against the reference text"), table(["figure", "value"], rows)]


def _calibration(found: Mapping[str, Any]) -> Child:
    low, high = found["ece_interval"]
    line = (
        f"{said(found['stated'])} of the replies state how sure they are. Expected calibration error "
        f"{found['ece']:.3f} ({low:.3f} to {high:.3f}), Brier score {found['brier']:.3f}."
    )
    rows = [
        [f"{one['low']:.1f} to {one['high']:.1f}", one["n"], number(one["mean_p"]), number(one["share_right"])]
        for one in found["bins"]
        if one["n"]
    ]
    return [
        tag("h3", "Stated confidence"),
        tag("p", line),
        table(["stated", "replies", "mean stated", "share right"], rows),
    ]


def _worst(rows: Sequence[Mapping[str, Any]]) -> Child:
    if not rows:
        return None
    note = "Problems with the lowest mean score, confident ones first, else in an order drawn by hash."
    return [tag("h2", "Worst samples"), tag("p", note, class_="soft"), [_sample(row) for row in rows]]


def _sample(row: Mapping[str, Any]) -> Html:
    reference = f"{row['reference']}. {row['option']}" if row["option"] else str(row["reference"])
    told = [
        f"reference {shorten(reference, 200)}",
        f"read as {shorten(str(row['read']), 200)}" if row["read"] else "no answer read",
    ]
    if row["confidence"] is not None:
        told.append(f"{said(row['confidence'])} sure")
    if row["finish_reason"] == "length":
        told.append("cut at the token limit")
    tags = [tag("span", flaw["kind"], class_="tag warn") for flaw in row["flaws"]]
    summary = tag(
        "summary",
        tags,
        tag("strong", f"{row['set']} {row['problem_id']}"),
        " ",
        tag("span", "; ".join(told), class_="soft"),
    )
    return tag(
        "details", summary, conversation(row["messages"]), tag("p", "Reply"), foreign(row["reply"]),
        tag("p", f"{row['stage']}: {row['reason']}" if row["stage"] else row["reason"], class_="soft"),
    )  # fmt: skip


def _distrusted(report: Mapping[str, Any]) -> Child:
    head = tag("h2", "Rows that the auditor distrusts")
    if not report["audited"]:
        return [head, tag("p", "The problems were not audited.", class_="soft")]
    if not report["distrusted"]:
        return [head, tag("p", "None.", class_="soft")]
    counts = [[row["set"], kind, count] for row in report["sets"] for kind, count in row.get("flaws", {}).items()]
    rows: list[Sequence[Child]] = []
    for row in report["distrusted"]:
        why = [tag("p", tag("span", flaw["kind"], class_="tag warn"), " ", flaw["words"]) for flaw in row["flaws"]]
        rows.append([row["set"], row["problem_id"], [conversation(row["messages"], 1000), why]])
    listed = tag(
        "details", tag("summary", f"All {len(rows)} rows"), table(["set", "problem", "why"], rows, numbers_from=9)
    )
    return [head, table(["set", "flaw", "problems"], counts, numbers_from=2), listed]
