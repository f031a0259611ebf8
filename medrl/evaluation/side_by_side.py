"""Two models' answers side by side, blinded: which one stands on the left is drawn for each problem by a seed.

The page names neither model, and says nothing of scores, lengths or who was cut off; the key is a file of its own. Answers
that are the same are shown once, and before them all that was said, without which a reply in a dialogue means nothing. The
reference is folded away, so that a reader can judge before they look.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from medrl.evaluation.answers import Answers, Reply
from medrl.evaluation.html import Child, Html, conversation, foreign, page, tag
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.extract import sections

Side = Literal["A", "B"]
CHARACTERS = 20_000  # of one reply or message that are shown


def draw_order(problems: Sequence[tuple[str, Problem]], seed: int) -> list[Side]:
    """Which model stands on the left, for each problem; as often one as the other, give or take one.

    Half of the problems, by an order of hashes, have A on the left.
    """
    ranked = sorted(
        range(len(problems)), key=lambda place: seed_of("blinded", seed, problems[place][0], problems[place][1].id)
    )
    extra = seed_of("blinded", seed, "odd") % 2
    left = set(ranked[: (len(problems) + extra) // 2])
    return ["A" if place in left else "B" for place in range(len(problems))]


def key_of(
    problems: Sequence[tuple[str, Problem]], order: Sequence[Side], names: tuple[str, str], seed: int
) -> dict[str, Any]:
    """Who stands where: kept apart from the page."""
    rows = [
        {
            "number": number,
            "set": name,
            "problem_id": problem.id,
            "left": names[side == "B"],
            "right": names[side == "A"],
        }
        for number, ((name, problem), side) in enumerate(zip(problems, order, strict=True), 1)
    ]
    return {"A": names[0], "B": names[1], "seed": seed, "rows": rows}


def side_by_side(
    problems: Sequence[tuple[str, Problem]], order: Sequence[Side], first: Answers, second: Answers
) -> str:
    """The page; of several replies to a problem the first is shown."""
    given = [{one.key: one.replies for one in answers.items} for answers in (first, second)]
    body: list[Child] = [
        tag("h1", "Two models side by side"),
        tag(
            "p",
            f"{len(problems)} problems. Who stands on the left is drawn for each problem anew; the key is kept apart.",
        ),
    ]
    for number, ((name, problem), side) in enumerate(zip(problems, order, strict=True), 1):
        replies = [given[0][name, problem.id], given[1][name, problem.id]]
        left, right = replies if side == "A" else replies[::-1]
        body.append(_problem(number, problem, left[0] if left else None, right[0] if right else None))
    return page("Two models side by side", *body)


def _problem(number: int, problem: Problem, left: Reply | None, right: Reply | None) -> Html:
    parts: list[Child] = [tag("h2", f"{number}"), conversation(problem.messages, CHARACTERS)]
    if problem.reference:
        option = problem.options.get(problem.reference)
        shown = f"{problem.reference}. {option}" if option and option != problem.reference else problem.reference
        parts.append(tag("details", tag("summary", "Reference"), foreign(shown)))
    if left is not None and right is not None and left.text == right.text and left.error == right.error:
        parts += [tag("p", "Both give the same answer:", class_="soft"), _reply("", left)]
    else:
        parts.append(tag("div", _reply("Left", left), _reply("Right", right), class_="sides"))
    return tag("section", parts)


def _reply(title: str, reply: Reply | None) -> Html:
    head = tag("h3", title) if title else None
    if reply is None or reply.error:
        return tag("div", head, tag("p", "There is no reply.", class_="soft"))
    found = sections(reply.text)
    shown = found.answer.strip()
    parts: list[Child] = [
        head,
        foreign(shown, CHARACTERS) if shown else tag("p", "The answer is empty.", class_="soft"),
    ]
    if found.reasoning:
        parts.append(tag("details", tag("summary", "Reasoning"), foreign(found.reasoning, CHARACTERS)))
    return tag("div", parts)


def items(
    problems: Sequence[tuple[str, Problem]], order: Sequence[Side], first: Answers, second: Answers
) -> list[Mapping[str, Any]]:
    """Rows for `medrl annotate`, which draws sides anew for each rater; problems without two replies are left out."""
    given = [{one.key: one.replies for one in answers.items} for answers in (first, second)]
    rows: list[Mapping[str, Any]] = []
    for (name, problem), side in zip(problems, order, strict=True):
        replies = [given[0][name, problem.id], given[1][name, problem.id]]
        if any(not some or some[0].error for some in replies):
            continue
        texts = [sections(some[0].text).answer for some in replies]
        rows.append({**problem.to_json(), "responses": texts if side == "A" else texts[::-1]})
    return rows
