"""Steps of the larger scales, small: a chain of real commands that stops where something is missing, and goes on."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from chat_server import ChatServer, failing
from dialogue_writers import recipe, talk

from medrl.commands import run_steps as run_steps_module
from medrl.commands.dry_run_names import Hub
from medrl.commands.run_steps import missing, run_steps
from medrl.errors import FolderTaken, RecipeError, StageFailed
from medrl.files import read_jsonl
from medrl.recipes import load_recipe
from medrl.recipes.construction import load_construction
from medrl.recipes.stages import Stages
from medrl.recipes.steps import Step, tell_steps, with_knobs

Serve = Callable[..., ChatServer]
EXAMPLE = Path(__file__).parents[2] / "examples" / "huatuogpt_o1"


def chain(written: Path, tiny: Path, held_out: Path) -> list[Step]:
    rows = "demonstrations.source={root}/rows/made/rows.jsonl"
    small = ("trainer.steps=1", "trainer.evaluate_every=0", "sft.epochs=1", "folder={root}/train/run", "resume=true")
    evaluate = "medrl eval {root}/train/run --policy latest --no-audit --out {root}/measured/report"
    return [
        Step("rows", "medrl construct instructions", partial(load_construction, "instructions"), written,
             ("folder={root}/rows/made",)),
        Step("train", "medrl run", load_recipe, tiny, (rows, *small), ("rows",)),
        Step("measured", evaluate, knobs=(f"held_out={{source: {held_out}}}",), after=("train",)),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_chain_stops_before_what_is_missing_and_goes_on(
    tiny: Path, tmp_path: Path, repository: Path, chat_server: Serve, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(repository), str(tiny.parent))))
    server = chat_server(
        lambda request, n: failing(500) if n < 2 else talk(request, n)
    )  # the first start fails on some
    held_out, root = tmp_path / "held_out.jsonl", tmp_path / "root"
    steps = chain(recipe(tmp_path, "instructions", server.url, 6), tiny, held_out)
    with pytest.raises(StageFailed, match=rf"measured cannot begin:\n  - held_out.source: {held_out} is not there"):
        run_steps(steps, root)
    told = capfd.readouterr()
    assert told.err.startswith("warning: measured will need what is not here")
    assert told.out.count("$ medrl construct instructions") == 2 and told.out.count("$ medrl run") == 1
    assert len(read_jsonl(root / "rows" / "made" / "rows.jsonl")) == 6
    assert (root / "train" / "done.json").exists() and not (root / "measured").exists()

    asked = [{"role": "user", "content": "What helps against thirst?"}]
    row = {"id": "h1", "messages": asked, "reference": "water"}
    held_out.write_text(json.dumps(row) + "\n")
    run_steps(steps, root)
    told = capfd.readouterr()
    assert told.out.count("$ medrl ") == 1 and "$ medrl eval" in told.out and not told.err.count("will need")
    assert (root / "measured" / "report" / "report.json").exists()
    with pytest.raises(FolderTaken, match="train was made with other knobs"):
        run_steps(with_knobs(steps, ["train:trainer.steps=2"]), root)


def test_what_a_step_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(step: Step) -> str:
        return "\n".join(missing(step, tmp_path, Hub()))

    def run(name: str, *knobs: str) -> Step:
        return Step("run", "medrl run", load_recipe, EXAMPLE / name, knobs)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert "17 GPUs, by the recipe; this machine has 0" in lacks(run("paper_8b.yaml"))
    assert "17 GPUs" not in lacks(run("paper_8b.yaml", "cluster.address=10.0.0.1:6379")), "Ray says it itself"
    assert "8 GPUs, by the recipe" in lacks(run("paper_8b.yaml", "trainer.steps=0", "held_out=null")), (
        "the ranks of SFT"
    )
    large = run("laptop.yaml", "policy.path=meta-llama/Llama-3.1-70B-Instruct")
    assert "GB of memory for a rank, by the arithmetic of --dry-run; this machine, which has no GPU" in lacks(large)
    read = partial(load_construction, "problems")
    problems = Step(
        "problems", "medrl construct problems", read, EXAMPLE / "problems.yaml", ("rows.source={root}/a.jsonl",)
    )
    found = lacks(problems)
    assert "OPENAI_BASE_URL is not set" in found and "no chat server answers at http://127.0.0.1:8001/v1" in found
    assert "a.jsonl" not in found, "what an earlier step writes is awaited"


def test_a_step_whose_models_are_awaited_is_looked_at_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PPO of HuatuoGPT reads a policy and a reward model that earlier steps write, and a file and GPUs that are not here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    root = tmp_path / "root"
    knobs = ("policy.path={root}/sft/run/sft", "problems.source=no.jsonl")
    ppo = Step(
        "ppo", "medrl run", load_recipe, EXAMPLE.parent / "huatuogpt" / "paper" / "ppo.yaml",
        (*knobs, "reward.then.model={root}/reward_model/model"),
    )  # fmt: skip
    found = "\n".join(missing(ppo, root, Hub()))
    assert "problems.source: no.jsonl is not there" in found and "8 GPUs, by the recipe" in found
    assert str(root) not in found and tell_steps([ppo], root) == 0
    beside = replace(ppo, knobs=(*knobs, f"reward.then.model={root}_of_another/model"))
    assert f"there is no folder {root}_of_another/model" in "\n".join(missing(beside, root, Hub()))
    assert tell_steps([beside], root) == 1 and "_of_another" in capsys.readouterr().err


def test_a_hub_that_does_not_answer_is_asked_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import HfApi, constants

    asked: list[str] = []

    def no_network(self: HfApi, name: str, **knobs: object) -> None:
        asked.append(name)
        raise ConnectionError("no route")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(HfApi, "repo_info", no_network)
    monkeypatch.setattr("medrl.commands.run_steps._too_little", lambda recipe: [])
    first = Step("first", "medrl run", load_recipe, EXAMPLE / "laptop.yaml")
    assert missing(first, tmp_path, Hub()) == [] and not asked
    said = "policy.path: Qwen/Qwen2.5-0.5B-Instruct is not in the cache, and the hub "
    assert f"warning: first may lack {said}is switched off (HF_HUB_OFFLINE)" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    faulty = replace(first, knobs=("problems.source=no.jsonl",))
    with pytest.raises(StageFailed, match=r"first cannot begin:\n  - problems.source: no.jsonl is not there\nwhat"):
        run_steps([faulty, replace(first, name="second")], tmp_path / "root")
    assert len(asked) == 1 and f"second may lack {said}does not say" in capsys.readouterr().err


def test_a_server_that_is_started_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = partial(load_construction, "problems")
    step = Step(
        "problems", "medrl construct problems", read, EXAMPLE / "laptop_problems.yaml", ("rows.source={root}/a",)
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{address[1]}/v1")
        assert missing(step, tmp_path, Hub()) == []
    assert "no chat server answers" in missing(step, tmp_path, Hub())[0], "a server that died"
    with socket.create_server(address):
        assert missing(step, tmp_path, Hub()) == [], "and one that was started in its place"


@pytest.mark.parametrize(
    ("knob", "refused"),
    [
        ("rows:stage.writer.client.base_url=http://127.0.0.1:9/v1", None),
        ("rows:concurrency=2", None),
        ("rows:cluster.address=10.0.0.1:6379", None),
        ("train:cluster={address: auto, max_learner_restarts: 9}", None),
        ("train:resume=false", None),
        ("rows:seed=7", "rows was made with other knobs .recipe.seed: was absent, is now 7"),
        ("rows:stage.writer.client.model=another", "rows was made with other knobs .*model: was .*, is now .another"),
        ("train:trainer.steps=2", "train was made with other knobs .recipe.trainer.steps: was 1, is now 2"),
        (
            "train:cluster.engine.max_model_len=512",
            "train was made with other knobs .recipe.cluster.engine.max_model_len",
        ),
    ],
)
def test_a_chain_goes_on_on_other_machines_and_with_no_other_result(
    knob: str, refused: str | None, tiny: Path, tmp_path: Path
) -> None:
    steps = chain(recipe(tmp_path, "instructions", "http://127.0.0.1:8/v1", 6), tiny, tmp_path / "held_out.jsonl")
    for step in steps:  # as if it were done
        Stages(tmp_path / "root").do(replace(run_steps_module._stage(step, tmp_path / "root"), work=bool))
    with pytest.raises(FolderTaken, match=refused) if refused else nullcontext():
        run_steps(with_knobs(steps, [knob]), tmp_path / "root")


@pytest.mark.parametrize(
    ("ends", "failed", "left_out"),
    [
        ([1, 1, 1], 1, True),  # 1 of 100 rows, three times
        ([1, 1, 1], 5, False),
        ([1, -9], 1, False),  # killed: the report that stood there is of the start before
        ([1, 2], 1, False),  # a fault, such as a cluster that is gone
        ([1, 0], 1, True),
    ],
)
def test_rows_are_left_out_by_the_report_of_the_last_start_alone(
    ends: list[int], failed: int, left_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(ends)
    (tmp_path / "rows").mkdir()

    def start(words: Sequence[str]) -> int:
        code = next(left)
        if code == 1:
            report = {"rows": 100 - failed, "failed": {"timeout": failed}, "complete": True}
            (tmp_path / "rows" / "report.json").write_text(json.dumps(report))
        return code

    monkeypatch.setattr(run_steps_module, "_run", start)
    with nullcontext() if left_out else pytest.raises(StageFailed, match=f"ended with {ends[-1]}"):
        run_steps_module._command(["medrl", "construct"], tmp_path)
    assert not list(left)


@pytest.mark.parametrize("knob", ["laptop.trainer.steps=1", "nobody:seed=1", "run:seed"])
def test_a_knob_names_its_step(knob: str) -> None:
    steps: Sequence[Step] = [Step("run", "medrl run", load_recipe, EXAMPLE / "laptop.yaml")]
    with pytest.raises(RecipeError, match=r"write STEP:section\.knob=value, where STEP is run"):
        with_knobs(steps, [knob])
