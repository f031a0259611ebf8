"""The rebuild of HuatuoGPT-o1: every row of its tables at a size that ends within a minute, and going on where it stopped."""

import json
import sys
from pathlib import Path

import pytest

from medrl.commands.dry_run import dry_run
from medrl.errors import FolderTaken, StageFailed
from medrl.recipes import load_recipe

FOLDER = Path(__file__).parents[2] / "examples" / "huatuogpt_o1"
SMALL = (
    "policy.new.layers=2", "policy.new.hidden_size=64", "policy.new.heads=2", "policy.new.intermediate_size=128",
    "problems.count=40", "held_out.count=12", "problems.diseases=3", "held_out.diseases=3",
    "problems.topics=[diagnosis]", "held_out.topics=[diagnosis]", "demonstrations.count=200", "sft.epochs=6",
    "sft.batch_size=8", "sft.microbatch_size=8", "trainer.steps=2", "trainer.problems_per_step=2",
    "trainer.rollouts_per_problem=2", "trainer.save_every=1", "evaluation.samples=2", "threads=1",
)  # fmt: skip


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("reproduce", "paper_tables", "exact_match"):  # other examples have a file of the same name
        sys.modules.pop(name, None)
    import reproduce

    return reproduce


@pytest.mark.slow
def test_every_row_is_trained_measured_and_not_done_twice(
    reproduce: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--ablations", "--folder", str(tmp_path / "all"), "--json", str(tmp_path / "out.json"), *SMALL]
    assert reproduce.main(arguments) == 0  # type: ignore[attr-defined]
    report = json.loads((tmp_path / "out.json").read_text())
    titles = sys.modules["paper_tables"].TITLES
    assert [row["name"] for row in report["table"]] == [name for name in titles if name != "sft_search"]
    assert set(report["shapes"]) == set(sys.modules["paper_tables"].SHAPES)
    assert all(
        shape["verdict"] in ("holds (one seed)", "open", "open (5 seeds are needed to refute)")
        for shape in report["shapes"].values()
    )
    assert all(0 <= row["interval"][0] <= row["accuracy"] <= row["interval"][1] <= 1 for row in report["table"])
    tokens = {row["name"]: row["tokens"] for row in report["table"]}
    assert tokens["sft_response"] < tokens["sft_simple"] < tokens["sft_complex"]
    capsys.readouterr()

    seed = tmp_path / "all" / "seed0"
    before = (seed / "complex_ppo" / "answers.jsonl").read_bytes()
    (seed / "complex_ppo" / "done.json").unlink()  # as if it had been killed before its mark
    (seed / "complex_ppo" / "answers.jsonl").unlink()
    assert reproduce.main(arguments) == 0  # type: ignore[attr-defined]
    told = capsys.readouterr().out
    assert told.count(": done in ") == 1 and "# seed0/complex_ppo: goes on\n" in told
    assert (seed / "complex_ppo" / "answers.jsonl").read_bytes() == before
    with pytest.raises(FolderTaken, match=r'other knobs \(knobs.trainer.steps: was "2", is now "3"\)'):
        reproduce.main([*arguments, "trainer.steps=3"])  # type: ignore[attr-defined]
    again = json.loads((tmp_path / "out.json").read_text())
    assert (again["table"], again["shapes"]) == (report["table"], report["shapes"])


def test_recipes_of_the_larger_scales_are_read_and_told(reproduce: object, capsys: pytest.CaptureFixture[str]) -> None:
    for scale, commands in (("laptop", 5), ("paper", 8)):
        assert reproduce.main(["--scale", scale]) == 0  # type: ignore[attr-defined]
        *told, hint = capsys.readouterr().out.splitlines()
        assert len(told) == commands and all(line.startswith("medrl ") for line in told) and "`--run`" in hint
        problems, reasoning = (
            f"runs/huatuogpt_o1/{scale}/{name}/rows/rows.jsonl" for name in ("problems", "reasoning")
        )
        assert told[1].endswith(f" rows.source={problems}")  # each reads what those before it wrote
        for run in (line for line in told if line.startswith("medrl run")):
            assert run.endswith(
                f" problems.source={problems} demonstrations.source={reasoning} demonstrations.config=null"
            )


def test_laptop_is_ppo_and_has_grpo_as_a_variant() -> None:
    ppo, grpo = (load_recipe(FOLDER / f"{name}.yaml") for name in ("laptop", "laptop_grpo"))
    assert (ppo.algorithm["type"], grpo.algorithm["type"]) == ("ppo", "grpo")
    assert ppo.optimization.critic is not None and grpo.optimization.critic is None
    assert dry_run(ppo).faults == dry_run(grpo).faults == ()


def test_a_larger_scale_stops_before_a_stage_that_lacks_something(
    reproduce: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(StageFailed, match=r"problems cannot begin:(\n.*)*OPENAI_BASE_URL is not set"):
        reproduce.main(["--scale", "laptop", "--run", "--folder", str(tmp_path)])  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


def test_what_a_larger_scale_does_not_take_is_refused(reproduce: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["--scale", "laptop", "--ablations", "--json", "l.json"])  # type: ignore[attr-defined]
    assert "--ablations, --json: of --scale tiny alone" in capsys.readouterr().err


def test_other_knobs_of_a_later_seed_are_refused_before_the_first_is_begun(reproduce: object, tmp_path: Path) -> None:
    stage = tmp_path / "seed1" / "complex_ppo"
    stage.mkdir(parents=True)
    (stage / "made_of.json").write_text('{"seed": 1, "after": {"seed1/sft_complex": "of other knobs"}}')
    with pytest.raises(FolderTaken, match="seed1/complex_ppo was made with other knobs"):
        reproduce.main(["--seeds", "2", "--folder", str(tmp_path), *SMALL])  # type: ignore[attr-defined]
    assert [one.name for one in tmp_path.iterdir()] == ["seed1"]


def test_a_search_is_checked_before_anything_is_trained(reproduce: object, tmp_path: Path) -> None:
    from medrl.recipes.stages import Stages

    rebuild = reproduce.Rebuild(Stages(tmp_path).do, 0, [])  # type: ignore[attr-defined]
    listed = rebuild.listed([reproduce.MAIN], sys.modules["search"].Size())  # type: ignore[attr-defined]
    assert [one.name for one in listed] == [
        f"seed0/{name}" for name in ("sft_complex", "complex_ppo", "search_writer", "search_rows")
    ]
    Stages(tmp_path).check(listed)
    assert not list(tmp_path.iterdir())


def test_sft_takes_no_step_of_rl_whatever_the_knobs_say(reproduce: object, tmp_path: Path) -> None:
    from medrl.recipes.stages import Stages

    rebuild = reproduce.Rebuild(Stages(tmp_path).do, 0, ["trainer.steps=7", "sft.epochs=2"])  # type: ignore[attr-defined]
    sft = rebuild.recipe({"demonstrations.chain": "complex", "trainer.steps": 0})
    assert (sft.trainer.steps, sft.sft.epochs) == (0, 2)
    start = {"policy.path": str(FOLDER), "policy.new": None, "sft": None, "demonstrations": None}
    assert rebuild.recipe(start).trainer.steps == 7 and rebuild.recipe(start).sft is None


def test_a_shape_is_refuted_by_five_seeds_only(reproduce: object, tmp_path: Path) -> None:
    tables = sys.modules["paper_tables"]

    def answers(name: str, seed: int, right: float) -> Path:
        path = tmp_path / f"{name}-{seed}.jsonl"
        rows = [
            {"problem": f"p{i}", "topic": "diagnosis", "sample": k, "correct": float(i < 40 * right), "tokens": 5}
            for i in range(40)
            for k in range(2)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    for seeds, verdict in ((1, "open (5 seeds are needed to refute)"), (5, "refuted")):
        made = {
            name: {seed: answers(name, seed, right) for seed in range(seeds)}
            for name, right in (("sft_complex", 0.9), ("complex_ppo", 0.5))
        }
        shape = tables.figures(made)["shapes"]["RL improves on SFT"]
        assert (shape["verdict"], shape["held"]) == (verdict, False)
        assert shape["difference"] == pytest.approx(-0.4)
    better = {name: {0: answers(name, 9, right)} for name, right in (("sft_complex", 0.2), ("complex_ppo", 0.8))}
    assert tables.figures(better)["shapes"]["RL improves on SFT"]["verdict"] == "holds (one seed)"


def test_failed_judgements_are_no_wrong_answers(reproduce: object, tmp_path: Path) -> None:
    rows = [
        {"problem": f"p{i}", "topic": "diagnosis", "sample": 0, "correct": None if i % 2 else 1.0, "tokens": 5}
        for i in range(10)
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = sys.modules["paper_tables"].figures({"sft_complex": {0: path}})["table"]
    assert (row["accuracy"], row["unscored"]) == (1.0, 0.5)
