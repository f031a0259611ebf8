"""How right and how fast are medrl's rules, beside what others use: HuatuoGPT-o1's scorer, Math-Verify, rapidfuzz?

    python benchmarks/verifiers.py [--cases FILE …] [--json OUT] [--workers 1 2]

Every verifier gets the same rows in the same run: labelled cases (medrl's own, or `--cases`), and answers generated from the
clinic and the vocabulary, each row once, none repeated, so that nothing is remembered. An abstention counts as wrong in
`accuracy`; `decided` and `accuracy_decided` say how rules are meant to be used, with a next stage behind them. Speed is
one process on one core, one answer at a time, after the tables have been read; the pool of worker processes is reported
apart. Peers run as they are published: HuatuoGPT-o1's scorer is written anew from its description (PAPER: arXiv
2412.18925, its evaluation: the label behind "answer is", else a lone label; the reference as whole words of the text),
Math-Verify on the rows whose reference is a number, rapidfuzz's token_set_ratio at 85.
"""

import argparse
import gc
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

from common import fail, print_table, write_json
from generated_answers import Row, rows

from medrl.commands.verdict_table import without_label
from medrl.commands.verifier_card import RULES, load_cases
from medrl.data import load_responses
from medrl.types import Problem, Response
from medrl.verifiers import RuleVerifier, build, run_sync, sections, verify_all
from medrl.verifiers.typed import answer_type

Judge = Callable[[Problem, Response], bool | None]


class Figures(NamedTuple):
    """What one verifier did with the rows that it takes."""

    rows: int
    decided: float
    accuracy: float
    accuracy_decided: float
    false_accept: float
    false_reject: float
    answers_per_second: float
    p99_ms: float
    slowest_ms: float


def measure(judge: Judge, asked: Sequence[Row]) -> Figures:
    """Ask about every row once, timed one by one."""
    for row in asked[:20]:  # read tables, compile patterns: on references, which are no rows
        judge(row.problem, Response(row.problem.reference or ""))
    gc.collect()
    gc.freeze()  # as verifier workers do: a full collection looks through the vocabulary, tens of milliseconds at some answer
    answers: list[bool | None] = []
    seconds: list[float] = []
    begin = process_time()
    for row in asked:
        start = perf_counter()
        answers.append(judge(row.problem, row.response))
        seconds.append(perf_counter() - start)
    busy = process_time() - begin
    right = [given == row.expected for given, row in zip(answers, asked, strict=True)]
    decided = [given is not None for given in answers]
    reject = [given for given, row in zip(answers, asked, strict=True) if not row.expected]
    accept = [given for given, row in zip(answers, asked, strict=True) if row.expected]
    ordered = sorted(seconds)
    return Figures(
        len(asked),
        sum(decided) / len(asked),
        sum(right) / len(asked),
        sum(right) / max(1, sum(decided)),
        sum(given is True for given in reject) / max(1, len(reject)),
        sum(given is False for given in accept) / max(1, len(accept)),
        len(asked) / busy,
        1000 * ordered[math.ceil(0.99 * len(ordered)) - 1],
        1000 * ordered[-1],
    )


def rules() -> tuple[RuleVerifier, Judge, list[int]]:
    """medrl's rules with all vetoes, how to ask them, and a count of answers for which sympy was needed."""
    verifier = build(RULES)
    assert isinstance(verifier, RuleVerifier)
    sympy = [0]

    def judge(problem: Problem, response: Response) -> bool | None:
        verdict = verifier.check_safely(problem, response)
        sympy[0] += "sympy" in verdict.cost
        return verdict.accepted if verdict.decided else None

    return verifier, judge, sympy


# "The answer is B", and a label that stands by itself.
_SAID = re.compile(r"answer is\s*?\(?([A-N])", re.DOTALL)
_ALONE = re.compile(r"(?<![\w'])([A-N])(?![\w'])")


def huatuo(problem: Problem, response: Response) -> bool:
    """HuatuoGPT-o1's scorer: for choices the first or the last label that was found, else the reference as whole words."""
    text = response.text.split("## Final Response")[-1]
    if not problem.options:
        reference = re.escape((problem.reference or "").lower())
        return re.search(rf"(\W|^){reference}(\W|$)", text.lower()) is not None
    found = _SAID.findall(text) or [label for label in _ALONE.findall(text) if label in problem.options]
    if not found:
        from difflib import SequenceMatcher

        found = [max(problem.options, key=lambda k: SequenceMatcher(None, text, problem.options[k]).ratio())]
    return problem.reference in (found[0], found[-1])  # it reports the better of the two


def fuzzy(problem: Problem, response: Response) -> bool:
    """rapidfuzz: token_set_ratio of the visible answer and the reference, 85 or more."""
    from rapidfuzz.fuzz import token_set_ratio
    from rapidfuzz.utils import default_process

    reference = problem.options.get(problem.reference or "", problem.reference or "")
    return token_set_ratio(sections(response.text).answer, reference, processor=default_process) >= 85


def math_verify(problem: Problem, response: Response) -> bool:
    """Math-Verify with its defaults, on the visible answer."""
    from math_verify import parse, verify

    return bool(verify(parse(problem.reference or ""), parse(sections(response.text).answer)))


def pool(asked: Sequence[Row], workers: int) -> float:
    """Answers a second of the rules in worker processes, wall clock, the processes already started."""
    verifier = build({"type": "isolated", "verifier": RULES, "workers": workers})
    verify_all(verifier, [row.problem for row in asked[:50]], [row.problem.reference or "" for row in asked[:50]])
    times = []
    for _ in range(3):
        begin = perf_counter()
        run_sync(verifier.verify_batch([(row.problem, row.response) for row in asked]))
        times.append(perf_counter() - begin)
    return len(asked) / median(times)


def labelled(paths: Sequence[Path]) -> list[Row]:
    """The rows of files of labelled cases; a row that stands in two files counts once."""
    found: dict[tuple[str, str, str], Row] = {}
    for path in paths:
        load_responses(path, limit=1)
        for problem, response, label in load_cases(path):
            problem, response = without_label((problem, response))
            found.setdefault(
                (problem.question, problem.reference or "", response.text), Row("case", problem, response, label)
            )
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--cases", type=Path, nargs="*", help="labelled answers; default: medrl's own")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="sizes of the worker pool to time")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    own = sorted((Path(__file__).parents[1] / "medrl/data/cases").glob("*.jsonl"))
    cases, generated = labelled(options.cases or own), rows()
    if not cases:
        fail("there are no labelled cases; name a file with --cases")
    everything = [*cases, *generated]
    verifier, ours, sympy = rules()
    speed = measure(ours, everything)  # first, while nothing of these rows was ever read
    share = sympy[0] / len(everything)
    numeric = [row for row in cases if answer_type(row.problem) == "number"]
    table: dict[str, Figures] = {
        "medrl rules": measure(ours, cases),
        "HuatuoGPT-o1 scorer": measure(huatuo, cases),
        "rapidfuzz >= 85": measure(fuzzy, cases),
        "medrl rules, numbers": measure(ours, numeric),
        "Math-Verify, numbers": measure(math_verify, numeric),
    }
    print(f"{len(cases)} labelled cases; abstentions count as wrong in `accuracy`\n")
    header = ("", "rows", "decided", "accuracy", "of decided", "false accept", "false reject", "answers/s", "p99 ms")
    print_table(header, [(name, *_cells(figures)) for name, figures in table.items()])
    print(f"\n{len(generated)} generated answers ({verifier.name})\n")
    kinds = sorted({row.kind for row in generated})
    made = {kind: measure(ours, [row for row in generated if row.kind == kind]) for kind in kinds}
    print_table(header, [(kind, *_cells(figures)) for kind, figures in made.items()])
    pools = {workers: pool(everything, workers) for workers in options.workers}
    ratio = speed.answers_per_second / table["HuatuoGPT-o1 scorer"].answers_per_second
    print(
        f"\nall {len(everything)} rows, one core: {speed.answers_per_second:,.0f} answers/s, p99 {speed.p99_ms:.2f} ms, ",
        end="",
    )
    print(f"slowest {speed.slowest_ms:.2f} ms; {ratio:.2f} of the HuatuoGPT-o1 scorer's speed; sympy for {share:.1%}")
    for workers, rate in pools.items():
        of_one = rate / speed.answers_per_second
        print(f"{workers} worker processes: {rate:,.0f} answers/s, {of_one:.2f} of one core without them")
    negatives = [row for row in generated if not row.expected]
    write_json(
        options.json,
        {
            "answers_per_second": speed.answers_per_second,
            "p99_ms": speed.p99_ms,
            "slowest_ms": speed.slowest_ms,
            "sympy_share": share,
            "rows": len(everything),
            "rules": table["medrl rules"]._asdict(),
            "peers": {name: figures._asdict() for name, figures in table.items() if "medrl" not in name},
            "rules_numbers": table["medrl rules, numbers"]._asdict(),
            "generated": {kind: figures._asdict() for kind, figures in made.items()},
            "generated_negatives": len(negatives),
            "generated_false_accept": measure(ours, negatives).false_accept,
            "pool": {str(workers): rate for workers, rate in pools.items()},
        },
    )


def _cells(figures: Figures) -> tuple[str, ...]:
    shares = (f"{value:.1%}" for value in figures[1:6])
    return (str(figures.rows), *shares, f"{figures.answers_per_second:,.0f}", f"{figures.p99_ms:.2f}")


if __name__ == "__main__":
    main()
