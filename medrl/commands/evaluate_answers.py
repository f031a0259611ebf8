"""Score answers and write what came out (`medrl eval`): per-sample outputs first, then the report that is made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrl.commands.problem_audit import undecided
from medrl.construct.problem_flaws import flaws
from medrl.construct.problem_overlap import repeats
from medrl.errors import DataError
from medrl.evaluation.answers import Answers, json_text
from medrl.evaluation.asking import Asking, Sets, ask_chat, ask_policy
from medrl.evaluation.report import report
from medrl.evaluation.report_page import report_page
from medrl.evaluation.rubric_scoring import GradedAnswer, gradable, grade
from medrl.evaluation.scoring import checkable, score
from medrl.files import json_line, write_atomic
from medrl.rewards import RubricReward
from medrl.types import Problem
from medrl.verifiers import Typed, Verifier, run_sync

if TYPE_CHECKING:
    from rich.table import Table

ANSWERS, SCORED, REPORT, PAGE = "answers.jsonl", "scored.jsonl", "report.json", "report.html"
JUDGED = "judge.sqlite"
Flaws = dict[tuple[str, str], list[tuple[str, str]]]


def evaluate_answers(
    answers: Answers, out: str | Path, *, verifier: Verifier | None = None, audit: bool = True,
    metrics: Sequence[str] = (), judge: RubricReward | None = None, say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Write answers, scores and report into a folder; returns the report.

    Args:
        answers: What a model answered.
        out: The folder. What it holds of an earlier evaluation is replaced, file by file.
        verifier: Who says what is right; the built-in rules when empty.
        audit: Also look for flaws of the problems.
        metrics: Tokenizers (`words`, `characters`, `mixed`) by which replies are set against reference texts.
        judge: Who grades replies to problems that have a rubric; without one they are only counted.
        say: Told what is going on.
    """
    folder = Path(out)
    answers.write(folder / ANSWERS)
    scored = score(answers, verifier)
    graded = graded_by(judge, answers, folder / JUDGED, say) if judge is not None else []
    rows = [row for one in scored for row in one.rows()] + [row for one in graded for row in one.rows()]
    write_atomic(folder / SCORED, b"".join(map(json_line, rows)))
    found = report(answers, scored, distrusted(answers) if audit else None, _texts(answers, metrics), graded)
    found["verifier"] = (verifier or Typed()).to_config()
    found["judge"] = judge.to_config() if judge is not None else None
    write_atomic(folder / REPORT, json_text(found))
    write_atomic(folder / PAGE, report_page(found))
    return found


def graded_by(
    judge: RubricReward, answers: Answers, cache: Path, say: Callable[[str], None] = lambda line: None
) -> list[GradedAnswer]:
    """Replies to problems that have a rubric, graded; what the judge said is kept, so that a stopped grading goes on."""
    from medrl.chat import CachedChat

    count = sum(len(one.replies) for one in answers.items if gradable(one.problem))
    if not count:
        say(f"{answers.name} answers no problem with a rubric, so {judge.model} is not asked; --verifier judges others")
        return []
    say(f"{judge.model} grades {count} replies of {answers.name} by their rubrics")
    kept = judge.cache is not None or isinstance(judge.client, CachedChat)
    return grade(answers, judge if kept else replace(judge, cache=str(cache)))


def distrusted(answers: Answers) -> Flaws:
    """The problems that the auditor of `medrl audit-problems` finds fault with, and why."""
    found: Flaws = {}
    for items in answers.sets.values():
        problems = [one.problem for one in items]
        repeated, decided = repeats(problems), undecided(problems, Typed())
        for place, one in enumerate(items):
            every = [*flaws(one.problem), *repeated.get(place, []), *decided.get(place, [])]
            some = [flaw for flaw in every if flaw.kind not in _harmless(one.problem)]
            if some:
                found[one.key] = [(flaw.kind, flaw.words) for flaw in some]
    return found


def _harmless(problem: Problem) -> tuple[str, ...]:
    """Flaws that spoil a problem for training on an open question, and do no harm to this one."""
    if problem.options:
        return ("negated",)  # with its options, "which is not" has one answer
    return () if checkable(problem) else ("several_sentences", "general_reference", "undecided")


def _texts(answers: Answers, metrics: Sequence[str]) -> dict[str, dict[str, Any]] | None:
    if not metrics:
        return None
    from medrl.evaluation.text_metrics import of_answers

    return of_answers(answers, metrics)


def ask(
    problems: Sets, asking: Asking, *, model: str | None = None, chat: Mapping[str, Any] | None = None,
    name: str | None = None, cache: Path | None = None, say: Callable[[str], None] = lambda line: None,
) -> Answers:  # fmt: skip
    """Have a policy (a folder or hub id) or a chat model answer problems.

    Args:
        problems: What is asked, with the names of sets.
        asking: How.
        model: Folder or hub id of a policy.
        chat: Config of a chat client, in place of `model`.
        name: What it is called in reports.
        cache: File in which replies of a chat model are kept, so that a stopped evaluation goes on where it was.
        say: Told what is going on.
    """
    made = {
        "samples": asking.samples, "temperature": asking.temperature, "top_p": asking.top_p,
        "max_tokens": asking.max_tokens, "seed": asking.seed,
    }  # fmt: skip
    if model is not None:
        from medrl.models import Policy
        from medrl.recipes.process import quiet_libraries, reproducible

        quiet_libraries()
        policy = Policy.load(model)
        say(f"{model}: {len(problems)} problems, {asking.samples} samples each")
        with reproducible(None, policy.device):
            return Answers(name or policy.name, tuple(ask_policy(policy, problems, asking)), {"model": model, **made})
    if chat is None:
        raise DataError("name who answers: --model FOLDER, or --chat '{type: openai, model: NAME, base_url: URL}'")
    from medrl.chat import CachedChat, build_chat

    client = build_chat(chat)
    kept = client if cache is None or isinstance(client, CachedChat) else CachedChat(client, cache)
    say(f"{client.model}: {len(problems)} problems, {asking.samples} samples each")
    found = run_sync(ask_chat(kept, problems, asking))
    return Answers(name or client.model, tuple(found), {"chat": client.model, **made})


def shown(found: Mapping[str, Any]) -> "Table":
    """The report as a table for the console."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{found['model']}", title_justify="left", pad_edge=False)
    table.add_column("set")
    for name in ("problems", "strict", "95 %", "first", "last", "unanswered", "truncated", "no score", "distrusted"):
        table.add_column(name, justify="right")

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    for row in found["sets"]:
        if not row["problems"]:
            if row["not_checked"]:
                kinds = ", ".join(f"{count} {kind}" for kind, count in row["not_checked"].items())
                table.add_row(row["set"], "0", *["-"] * 7, kinds)
            continue
        right = row["accuracy"]
        ends = right["strict"]["interval"]
        table.add_row(
            row["set"], str(row["problems"]), percent(right["strict"]["value"]),
            f"{100 * ends[0]:.1f}-{100 * ends[1]:.1f}" if ends else "-",
            *(percent(right[name]["value"]) if name in right else "-" for name in ("first", "last")),
            percent(row["unanswered"]), percent(row["truncated"]),
            percent(sum(row["unscored"].values()) / row["replies"]), str(row.get("distrusted", "-")),
        )  # fmt: skip
    return table
