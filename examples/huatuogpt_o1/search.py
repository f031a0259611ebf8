"""Stages 0 and 1 by a language model behind a real server, as stages of `reproduce.py --search`.

A writer is made from scratch and taught what `clinic_teacher.py` says (`clinic_writer.py`), `vllm serve` serves it on
loopback, and the example's own recipes `problems.yaml` and `reasoning.yaml` ask it: multiple-choice cases that it has
not seen become open problems, these become reasoning that the verifier accepts, and a policy is fine-tuned on the
rows. Nothing of the teacher is in those rows but what the writer learnt from it. Killed at any moment, the same
command goes on.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import clinic_writer as writers
from clinic_teacher import DISEASES, VERIFIER, cases, exchanges, opened, problem_row

from medrl.files import read_jsonl
from medrl.recipes.tree import read_tree

HERE = Path(__file__).parent
STARTS = 3  # of a construction in which rows fail
UNSEEN = 1000  # beyond the writer's seed: that of the cases that it is asked about
EXAMINED = 60  # unseen cases that the writer is examined on


@dataclass(frozen=True)
class Size:
    """How large the search is."""

    lessons: int = 2000
    """Cases that the writer is taught, each worth five lessons."""

    epochs: float = 3.0
    """Passes over the lessons. One pass over 1,000 cases teaches neither the form nor to copy (README)."""

    rows: int = 1500
    """Multiple-choice cases that stage 0 begins with. A quarter to a third becomes problems."""

    concurrency: int = 32
    """Rows under way at once."""

    diseases: int = DISEASES
    """How many diseases the cases are about."""


class Search:
    """The stages of one seed; `stage(name, work, made_of, *after)` does one if it is not done, as in `reproduce.py`."""

    def __init__(
        self, stage: Callable[..., Path], seed: int, size: Size, shape: Mapping[str, int] = writers.SHAPE
    ) -> None:
        self.stage, self.seed, self.size, self.shape = stage, seed, size, shape

    def unseen(self, count: int) -> list[Any]:
        """Cases none of whose combinations of findings the writer was taught."""
        return cases(count, self.seed + UNSEEN, taught=False, diseases=self.size.diseases)

    def writer(self) -> Path:
        """The writer's folder, `model`, and `writer.json`: what it took, and how well it replies."""
        size = self.size
        taught = {"lessons": size.lessons, "epochs": size.epochs, "diseases": size.diseases}
        made_of = {**taught, "shape": dict(self.shape), "sft": dict(writers.SFT)}

        def work(folder: Path) -> None:
            from medrl.files import write_atomic
            from medrl.models import Policy

            took = writers.trained(folder / "model")  # a kill may have come while it was examined
            if took is None:
                problems = cases(size.lessons, self.seed, taught=True, diseases=size.diseases)
                took = writers.train(
                    folder / "model", problems, epochs=size.epochs, seed=self.seed, shape=self.shape, save_every=100
                )
            asked = exchanges(self.unseen(EXAMINED), self.seed)
            marks = writers.examined(Policy.load(str(folder / "model")), asked, 0.7, self.seed)
            print(writers.marks_table(marks), flush=True)
            write_atomic(folder / "writer.json", json.dumps({**took, "examined": marks}, indent=1) + "\n")

        return self.stage("search_writer", work, made_of)

    def rows(self) -> Path:
        """The folders of both constructions, `problems` and `reasoning`."""
        model = self.writer() / "model"
        recipes = {kind: read_tree(HERE / f"{kind}.yaml", ()) for kind in ("problems", "reasoning")}
        made_of = {"rows": self.size.rows, "diseases": self.size.diseases, **recipes}

        def work(folder: Path) -> None:
            from medrl.files import json_line, write_atomic

            source = folder / "source.jsonl"
            write_atomic(source, b"".join(json_line(problem_row(one)) for one in self.unseen(self.size.rows)))
            with writers.served(model, folder / "vllm.txt") as url:
                self.construct("problems", source, folder / "problems", url)
                self.construct("reasoning", folder / "problems" / "rows.jsonl", folder / "reasoning", url)

        return self.stage("search_rows", work, made_of, "search_writer")

    def construct(self, kind: str, source: Path, folder: Path, url: str) -> None:
        """`medrl construct` of the example's recipe, asking the writer; rows that failed are tried again."""
        from medrl.commands.construct_rows import construct_rows
        from medrl.recipes.construction import load_construction

        knobs = {**roles(kind, url), "rows.source": str(source), "folder": str(folder), "seed": self.seed,
                 "concurrency": self.size.concurrency}  # fmt: skip
        recipe = load_construction(kind, HERE / f"{kind}.yaml", overrides(knobs))
        for _ in range(STARTS):
            if not construct_rows(recipe).failures:
                break

    def figures(self) -> dict[str, Any]:
        """What the writer learnt, and what became of every row."""
        folder, size = self.rows(), self.size
        learnt = json.loads((self.writer() / "writer.json").read_text())
        asked = {one.id: opened(one) for one in self.unseen(size.rows)}
        problems = read(folder / "problems" / "rows.jsonl")
        kept = [row["id"] for row in problems]
        same = sum(row["Open-ended Verifiable Question"] == asked[row["id"]] for row in problems)
        word_for_word = {"question_word_for_word": share(same, len(problems))}
        return {
            "writer": learnt,
            "problems": {**outcomes(folder / "problems", list(asked)), **word_for_word},
            "reasoning": {**outcomes(folder / "reasoning", kept), **ways(folder / "reasoning", len(kept))},
        }


def overrides(values: Mapping[str, Any]) -> list[str]:
    """Knobs as the command line has them; JSON is YAML."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def roles(kind: str, url: str) -> dict[str, Any]:
    """Knobs by which a recipe asks the writer behind `url` in place of the paper's models."""
    client = {"type": "openai", "model": writers.NAME, "base_url": url, "timeout": 120.0, "max_retries": 8}
    role = {"client": client, "max_tokens": writers.LONGEST}
    # The small model that tries the question, and the search, want draws that differ.
    drawn = {**role, "temperature": 0.7}
    parts = {"grader": role, "rewriter": role, "small_models": [drawn]} if kind == "problems" else {"writer": drawn}
    return {f"stage.{name}": value for name, value in {**parts, "verifier": VERIFIER}.items()}


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a construction, which writes no file for an outcome that no row had."""
    return read_jsonl(path) if path.exists() else []


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def outcomes(folder: Path, ids: Sequence[str]) -> dict[str, Any]:
    """How the rows with these ids ended; `lost` ended nowhere, `doubled` more than once."""
    done = [row for name in ("rows.jsonl", "dropped.jsonl") for row in read(folder / name)]
    failed = read(folder / "failed.jsonl")
    ended = Counter(row["id"] for row in (*done, *failed))
    bill = json.loads((folder / "report.json").read_text())["bill"]
    return {
        "rows": len(ids), "lost": len(set(ids) - set(ended)), "doubled": sum(ended.values()) - len(ended),
        "kept_share": share(sum(row["provenance"]["outcome"] == "kept" for row in done), len(ids)),
        "outcomes": dict(Counter(row["provenance"]["outcome"] for row in done) + Counter(failed=len(failed))),
        "failures": dict(Counter(row["kind"] for row in failed)), "calls": bill["calls"],
    }  # fmt: skip


def ways(folder: Path, whole: int) -> dict[str, Any]:
    """How the kept rows came to their answer, as shares of all rows: at once, or by which strategy in the end."""
    kept = [row["provenance"] for row in read(folder / "rows.jsonl")]
    ends = Counter(one["strategies"][-1] if one["strategies"] else "first chain" for one in kept)
    at_once = sum(not one["strategies"] and one["attempts"] == 1 for one in kept)
    return {
        "right_at_once": share(at_once, whole),
        "ended_by": {way: share(count, whole) for way, count in sorted(ends.items())},
        "steps": share(sum(one["steps"] for one in kept), len(kept)),
    }


def page(found: Mapping[str, Any]) -> str:
    """What is printed of the search."""
    writer, problems, reasoning = found["writer"], found["problems"], found["reasoning"]
    lines = [
        "",
        f"search: a writer of {writer['parameters']:,} parameters, {writer['lessons']:,} lessons, loss {writer['loss']:.3f}, "
        f"{writer['seconds'] / 60:.1f} minutes; replies to cases that it has not seen:",
        writers.marks_table(writer["examined"]),
    ]
    for name, one in (("stage 0", problems), ("stage 1", reasoning)):
        told = ", ".join(f"{count} {what}" for what, count in sorted(one["outcomes"].items(), key=lambda x: -x[1]))
        lines.append(
            f"{name}: {one['rows']} rows ({told}), {one['lost']} lost, {one['doubled']} doubled, {one['calls']} calls"
        )
    lines += [f"  {one:.1%} of the rows came to a right answer by: {way}" for way, one in reasoning["ended_by"].items()]
    return "\n".join(lines)


def size_of(options: Any) -> Size:
    """The size that the command line asks for."""
    given = {name: getattr(options, f"search_{name}") for name in asdict(Size())}
    return Size(**{name: value for name, value in given.items() if value is not None})
