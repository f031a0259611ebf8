"""Compare two models (`medrl compare`): a blinded page, its key, paired tests, and a judge where one is given.

What the folder holds afterwards: `a.jsonl` and `b.jsonl` (all answers), `page.html` (blinded), `key.json` (who stands where),
`items.jsonl` (for `medrl annotate`), `records.jsonl` (what a judge said), `compare.json` and `compare.html` (the tests).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medrl import __version__
from medrl.commands.evaluate_answers import JUDGED, ask, graded_by
from medrl.commands.terminal import policy_path
from medrl.errors import DataError
from medrl.evaluation.answer_files import load_answers
from medrl.evaluation.answers import Answered, Answers, json_text
from medrl.evaluation.asking import Asking, Sets
from medrl.evaluation.compare_page import compare_page
from medrl.evaluation.comparing import compare, same_problems
from medrl.evaluation.pairwise import judged_figures, pairs_of
from medrl.evaluation.rubric_comparing import compare_graded
from medrl.evaluation.rubric_scoring import gradable
from medrl.evaluation.scoring import score
from medrl.evaluation.side_by_side import draw_order, items, key_of, side_by_side
from medrl.files import json_line, write_atomic
from medrl.rewards import RubricReward
from medrl.verifiers import Verifier, run_sync

Say = Callable[[str], None]


def compare_models(
    first: Answers, second: Answers, out: str | Path, *, seed: int = 0, verifier: Verifier | None = None,
    judge: dict[str, Any] | None = None, grader: RubricReward | None = None, metrics: Sequence[str] = (),
    say: Say = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Write everything about two models' answers into a folder; returns what compare.json holds.

    Args:
        first: Answers of the one.
        second: Answers of the other.
        out: The folder.
        seed: Of what is drawn.
        verifier: Who says what is right; the built-in rules when empty.
        judge: Config of the chat client that judges each pair.
        grader: Who grades replies to problems that have a rubric; without one they are not compared.
        metrics: Tokenizers by which replies are set against reference texts.
        say: Told what is going on.
    """
    folder = Path(out)
    first, second = _aligned(first, second)
    problems = same_problems(first, second)
    first.write(folder / "a.jsonl")
    second.write(folder / "b.jsonl")
    names = (first.name, second.name if second.name != first.name else f"{second.name} (B)")
    order = draw_order(problems, seed)
    write_atomic(folder / "page.html", side_by_side(problems, order, first, second))
    write_atomic(
        folder / "items.jsonl", b"".join(json_line(dict(row)) for row in items(problems, order, first, second))
    )
    write_atomic(folder / "key.json", json_text(key_of(problems, order, names, seed)), mode=0o600)
    shared = {(name, one.id) for name, one in problems}
    sides = [_only(answers, shared) for answers in (first, second)]
    found: dict[str, Any] = {
        "A": {"name": names[0], **dict(first.made), "problems": len(first.items)},
        "B": {"name": names[1], **dict(second.made), "problems": len(second.items)},
        "problems": len(problems),
        "lacking": {"A": len(second.items) - len(problems), "B": len(first.items) - len(problems)},
        "ungraded": Counter(name for name, one in problems if gradable(one)) if grader is None else {},
        "seed": seed,
        "sets": compare(
            score(sides[0], verifier), score(sides[1], verifier), _by_rubric(grader, sides[0], sides[1], folder, say)
        ),
        "medrl_version": __version__,
    }
    if metrics:
        from medrl.evaluation.text_metrics import of_answers

        both = [of_answers(side, metrics) for side in sides]
        found["text"] = {name: [both[0][name], both[1][name]] for name in both[0] if name in both[1]}
    if judge is not None:
        found["judged"] = _judged(judge, problems, sides[0], sides[1], folder, seed, say)
    write_atomic(folder / "compare.json", json_text(found))
    write_atomic(folder / "compare.html", compare_page(found))
    return found


def _by_rubric(
    grader: RubricReward | None, first: Answers, second: Answers, folder: Path, say: Say
) -> dict[str, dict[str, Any]]:
    """Paired figures of the sets with rubrics; none without a grader."""
    if grader is None:
        return {}
    one, other = (graded_by(grader, answers, folder / JUDGED, say) for answers in (first, second))
    return compare_graded(one, other)


def answers_of(
    what: str, prompts: Sets, asking: Asking, *, policy: str = "best", schema: str = "auto", cache: Path | None = None,
    say: Say = lambda line: None,
) -> Answers:  # fmt: skip
    """The answers that one side of a comparison is: a file of answers, a run, a model folder or hub id, or a chat model.

    Raises:
        DataError: There are no prompts to put to a model, or a file has no answer to some of them.
    """
    place = Path(what)
    if place.is_file():
        return load_answers(what, prompts, schema=schema)
    if not prompts:
        raise DataError(f"{what} is a model, so it needs problems to answer: --prompts FILE")
    if what.lstrip().startswith("{"):
        from medrl.commands.terminal import chat_of

        return ask(prompts, asking, chat=chat_of(what), cache=cache, say=say)
    model = policy_path(place, policy) if (place / "recipe.yaml").is_file() else what
    return ask(prompts, asking, model=model, name=what, say=say)


def _aligned(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Two files of one set each are of one set, whatever the files are called."""
    one, other = list(first.sets), list(second.sets)
    if len(one) == len(other) == 1 and one != other:
        renamed = tuple(Answered(each.problem, each.replies, one[0]) for each in second.items)
        second = Answers(second.name, renamed, second.made)
    return first, second


def _only(answers: Answers, keys: set[tuple[str, str]]) -> Answers:
    return Answers(answers.name, tuple(one for one in answers.items if one.key in keys), answers.made)


def _judged(
    config: dict[str, Any], problems: Sets, first: Answers, second: Answers, folder: Path, seed: int, say: Say
) -> dict[str, Any]:
    """Have a chat model judge each pair in both orders; what it said is kept, so that a stopped judging goes on."""
    from medrl.chat import CachedChat, build_chat
    from medrl.construct.feedback_judge import FeedbackJudge, Task, judge_all
    from medrl.data.feedback import Candidate

    client = build_chat(config)
    kept = client if isinstance(client, CachedChat) else CachedChat(client, folder / JUDGED)
    asked = FeedbackJudge(kept, seed=seed)
    pairs, without = pairs_of(problems, first, second, asked.max_chars)
    tasks = [
        Task(one.problem, (Candidate(one.first, name="A"), Candidate(one.second, name="B")))
        for one in pairs if one.ruled is None
    ]  # fmt: skip
    say(f"{client.model} judges {len(tasks)} pairs in both orders")
    outcome = run_sync(judge_all(asked, tasks))
    write_atomic(folder / "records.jsonl", b"".join(json_line(one.to_json()) for one in outcome.records))
    failed = dict(outcome.failed) | ({"no reply": without} if without else {})
    if tasks and not outcome.records:
        kind, reason = next(iter(outcome.reasons.items()))
        raise DataError(
            f"the judge judged none of {len(tasks)} pairs ({kind}: {reason}); start again when it is mended"
        )
    return judged_figures(pairs, outcome.records, failed, client.model, seed)
