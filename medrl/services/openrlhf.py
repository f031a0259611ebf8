"""OpenRLHF's remote reward contract (0.11, openrlhf/utils/agent.py): queries in, rewards out.

A query is the whole text, prompt and response, with special tokens; the response is what stands behind the prompt, read
as a reward file reads it (`medrl.interop.openrlhf.said_in`). A label is the reference text, or a problem (an object, or its
JSON text). The contract has no "no number", and a 0 in its place would be a lie that the policy learns from: see the knob
`missing`.
"""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from medrl.interop.openrlhf import for_filter, said_in
from medrl.services.reading import Refused, faults_of, parse
from medrl.services.schema import ProblemIn, RewardQuery, problem_of
from medrl.services.settings import ServiceSettings
from medrl.types import Group, Score, ask
from medrl.verifiers.protocol import digest


def groups_of(asked: RewardQuery, settings: ServiceSettings) -> list[Group]:
    """A group of one response for each query.

    Raises:
        Refused: The lists differ in length, a query does not begin with its prompt, or a label is no problem.
    """
    counts = {name: len(getattr(asked, name)) for name in ("query", "prompts", "labels")}
    if len(set(counts.values())) > 1:
        raise Refused(422, "invalid", f"query, prompts and labels must be equally long; they are {counts}")
    groups = []
    for place, (query, prompt, label) in enumerate(zip(asked.query, asked.prompts, asked.labels, strict=True)):
        if not query.startswith(prompt):
            raise Refused(
                422,
                "invalid",
                "the query does not begin with its prompt, so nobody can say where the response begins; decode the "
                "prompt's tokens as the query's, with special tokens",
                f"query[{place}]",
            )
        response = said_in(query[len(prompt) :], settings.ending)
        problem = problem_of(_problem(prompt, label, f"labels[{place}]", settings), f"labels[{place}]")
        groups.append(Group(problem, (response,)))
    return groups


def _problem(prompt: str, label: Any, where: str, settings: ServiceSettings) -> ProblemIn:
    row = label
    if isinstance(label, str) and label.lstrip()[:1] == "{":
        try:
            read = parse(label.encode("utf-8", "replace"), settings)
        except Refused as error:
            if error.code != "malformed":
                raise Refused(422, "invalid", error.message, where) from None
            read = None  # a reference that happens to begin with a brace
        row = read if isinstance(read, dict) else label
    if isinstance(row, dict):
        prompted = row if {"question", "messages"} & set(row) else {**row, "question": prompt}
        try:
            return ProblemIn.model_validate(prompted)
        except ValidationError as error:
            faults = faults_of(list(error.errors(include_url=False, include_input=False)))
            said = "; ".join(f"{fault['where']}: {fault['message']}".lstrip(": ") for fault in faults)
            raise Refused(422, "invalid", f"the label is no problem: {said}", where) from None
    if isinstance(row, bool | list):
        raise Refused(422, "invalid", "a label is the reference text, or a problem as an object", where)
    reference = row if isinstance(row, str | None) else json.dumps(row)
    messages = ask(prompt)
    return ProblemIn.model_validate(
        {"id": f"p-{digest([*messages, reference])}", "question": prompt, "reference": reference}
    )


def answer_of(scores: Sequence[Score], parts: Sequence[str], missing: float | None) -> dict[str, Any]:
    """The response to a query.

    `rewards` are the tree's values; `scores`, by which OpenRLHF filters groups, the same (`for_filter`); and
    `extra_logs` holds a number for each node of the tree, always the same names: the values of its parts (0.0 where a
    part has none: look at `NAME_known`, its share with a number), and `no_number`.

    Raises:
        Refused: 503, where a score has no number and `missing` does not say what to send.
    """
    lost = [(place, score) for place, score in enumerate(scores) if score.value is None]
    if lost and missing is None:
        place, score = lost[0]
        statuses = ", ".join(sorted({one.status for _, one in lost}))
        again = any(one.status in ("error", "timeout") for _, one in lost)
        raise Refused(
            503,
            "no_number",
            f"{len(lost)} of {len(scores)} have no number ({statuses}), and this contract has no way to say so; the "
            f"first: {score.reason}"[:500],
            f"query[{place}]",
            1 if again else None,
        )
    instead = (
        float("nan") if missing is None else float(missing)
    )  # asked for by name; without it every score has a value
    values = [instead if score.value is None else score.value for score in scores]
    logs: dict[str, list[float]] = {"no_number": [float(score.value is None) for score in scores]}
    for name in parts:
        found = [score.parts[name].value if name in score.parts else None for score in scores]
        logs[name] = [value if value is not None else 0.0 for value in found]
        logs[f"{name}_known"] = [float(value is not None) for value in found]
    return {"rewards": values, "scores": for_filter(values), "extra_logs": logs}
