"""Run tasks of lm-evaluation-harness on a policy, and read what it answered.

The task asks as the harness defines it (prompt, few-shot examples, likelihood or generation); what the replies are worth is
then read by medrl's rules, and the harness's own metrics are kept beside them. Needs the package `lm_eval`; its tasks fetch
their data sets from the hub, or read files that a task of one's own names.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medrl.data.rows import Row, collect
from medrl.errors import DataError, need
from medrl.evaluation.answers import Answered, Answers
from medrl.evaluation.harness import of_one_filter, sample


def run_tasks(
    model: str, tasks: Sequence[str], *, include: str | Path | None = None, limit: int | None = None,
    batch_size: int = 8, device: str | None = None, name: str | None = None,
) -> Answers:  # fmt: skip
    """The answers of a model to some tasks.

    Args:
        model: Folder or hub id of a policy.
        tasks: Names such as medqa_4options, medmcqa, pubmedqa.
        include: Folder with tasks of one's own; then the harness's own are not looked at.
        limit: Only so many documents of each.
        batch_size: Prompts that are computed together.
        device: cpu, cuda, cuda:1; the first GPU where there is one when empty.
        name: What the model is called in reports.

    Raises:
        MissingExtra: `lm_eval` is not installed.
        DataError: A task is not known, its data cannot be had, or its documents are in no schema that medrl reads.
    """
    lm_eval = need("lm_eval", "harness")
    tasks_of = need("lm_eval.tasks", "harness").TaskManager
    manager = tasks_of(include_path=None if include is None else str(include), include_defaults=include is None)
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown:
        raise DataError(f"lm_eval has no task {unknown[0]!r}{f' in {include}' if include else ''}")
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = lm_eval.simple_evaluate(
            model="hf", model_args={"pretrained": model}, tasks=list(tasks), task_manager=manager, limit=limit,
            log_samples=True, batch_size=batch_size, bootstrap_iters=0, device=device,
        )  # fmt: skip
    except (OSError, ConnectionError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"lm_eval could not run {', '.join(tasks)} on {model}: {first}") from error
    items: list[Answered] = []
    for task, rows in found["samples"].items():
        source = f"samples_{task}_.jsonl"
        items += collect(f"task {task}", of_one_filter(rows), partial(_item, source), "problem", unique=False)
    theirs = {task: _plain(row) for task, row in found["results"].items()}
    made = {"model": model, "harness": getattr(lm_eval, "__version__", "?"), "tasks": list(tasks), "metrics": theirs}
    return Answers(name or model, tuple(items), made)


def _item(source: str, row: Row, number: int) -> Answered:
    return sample(row, number, source)


def _plain(row: Any) -> dict[str, float]:
    return {str(key): float(value) for key, value in dict(row).items() if isinstance(value, int | float)}
