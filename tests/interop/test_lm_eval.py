"""lm-evaluation-harness itself runs tasks on a tiny policy, and medrl reads what it answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import DataError
from medrl.evaluation.answer_files import load_answers
from medrl.evaluation.harness_run import run_tasks
from medrl.evaluation.scoring import score

pytestmark = [pytest.mark.interop, pytest.mark.slow]
ROWS = [
    {
        "id": "a",
        "question": "Which disease has Koplik spots?",
        "options": {"A": "gout", "B": "measles"},
        "answer_idx": "B",
    },
    {
        "id": "b",
        "question": "Which disease swells the big toe?",
        "options": {"A": "gout", "B": "measles"},
        "answer_idx": "A",
    },
    {"id": "c", "question": "Which disease has podagra?", "options": {"A": "gout", "B": "measles"}, "answer_idx": "A"},
]
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}} Answer:"
{more}
"""
MORE = {
    "multiple_choice": """doc_to_choice: [A, B]
doc_to_target: "{{['A', 'B'].index(answer_idx)}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]""",
    "generate_until": """doc_to_target: "{{answer_idx}}"
generation_kwargs: {max_gen_toks: 6, do_sample: false, until: ["\\n"]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]""",
}


def test_tasks_are_run_and_read(tmp_path: Path, make_policy: Any) -> None:
    pytest.importorskip("lm_eval", reason="needs lm_eval; run `make test-interop`")
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, kind in (("mcq", "multiple_choice"), ("gen", "generate_until")):
        text = TASK.format(name=name, file=tmp_path / "docs.jsonl", kind=kind, more=MORE[kind])
        (tmp_path / f"{name}.yaml").write_text(text)
    make_policy().save(tmp_path / "policy")
    found = run_tasks(str(tmp_path / "policy"), ["mcq", "gen"], include=tmp_path, device="cpu", name="tiny")
    assert {name: len(items) for name, items in found.sets.items()} == {"mcq": 3, "gen": 3}
    ours = [one.mean() for one in score(found) if one.answered.set == "mcq"]
    theirs = next(value for key, value in found.made["metrics"]["mcq"].items() if key.startswith("acc,"))
    assert sum(value or 0.0 for value in ours) / 3 == pytest.approx(theirs)
    found.write(tmp_path / "answers.jsonl")
    assert load_answers(tmp_path / "answers.jsonl").items == found.items
    with pytest.raises(DataError, match="no task 'nothing'"):
        run_tasks(str(tmp_path / "policy"), ["nothing"], include=tmp_path, device="cpu")
