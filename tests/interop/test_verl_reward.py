"""medrl in verl 0.9.1's real reward loop: its loaders, its naive manager, ours, and the worker that calls them."""

import ast
import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from answers_everywhere import ANSWERS, tree

from medrl.errors import RewardFailed
from medrl.interop import unpack
from medrl.interop.export import export_verl
from medrl.interop.verl import rows
from medrl.models import Policy
from medrl.models.tokenizer import train_tokenizer
from medrl.recipes.build import problems_of
from medrl.recipes.load import load_recipe

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCORED = [at for at, answer in enumerate(ANSWERS) if answer.value is not None]
LOST = [at for at, answer in enumerate(ANSWERS) if answer.value is None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_policy: Callable[..., Policy]) -> Path:
    """What `medrl interop verl` writes for a reward, and a tokenizer as a model's folder."""
    pytest.importorskip("verl", reason="needs verl; run `make test-interop`")
    place = tmp_path_factory.mktemp("verl")
    train_tokenizer([answer.text for answer in ANSWERS] * 3, 600).save_pretrained(place / "model")
    make_policy().model.config.save_pretrained(place / "model")
    return export_verl(tree(), None, place / "out").folder


def config(folder: Path, **reward: Any) -> Any:
    from omegaconf import OmegaConf

    settings = {
        "actor_rollout_ref": {"model": {"path": str(folder.parent / "model"), "tokenizer_path": None}},
        "reward": {
            "custom_reward_function": {"path": None, "name": "compute_score"},
            "reward_manager": {"source": "register", "name": "naive", "module": {"path": None}},
            "reward_model": {"enable": False},
            **reward,
        },
    }
    return OmegaConf.create(settings)


BY_FUNCTION = "custom_reward_function"


def worker(folder: Path, by: str) -> Any:
    """verl's own RewardLoopWorker, which loads what its config names."""
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

    if by == BY_FUNCTION:
        return RewardLoopWorker(
            config(folder, custom_reward_function={"path": str(folder / "compute_score.py"), "name": "compute_score"})
        )
    manager = {"source": "importlib", "name": "MedrlRewardManager", "module": {"path": str(folder / "manager.py")}}
    return RewardLoopWorker(config(folder, reward_manager=manager))


def data(tokenizer: Any, places: list[int], ended: bool = True) -> Any:
    """A batch as verl's rollouts leave it: prompts padded on the left, responses on the right."""
    import numpy
    from tensordict import TensorDict
    from verl import DataProto

    found = rows([ANSWERS[at].problem for at in places])
    ends = [tokenizer.eos_token_id] if ended else []
    ids = [[*tokenizer(ANSWERS[at].text, add_special_tokens=False)["input_ids"], *ends] for at in places]
    width = max(map(len, ids))
    pad = tokenizer.pad_token_id
    responses = torch.tensor([[*row, *[pad] * (width - len(row))] for row in ids])
    mask = torch.tensor([[1] * 3 + [1] * len(row) + [0] * (width - len(row)) for row in ids])
    prompts = torch.full((len(places), 3), pad)
    batch = TensorDict({"prompts": prompts, "responses": responses, "attention_mask": mask}, len(places))
    rest = {key: numpy.array([row[key] for row in found], dtype=object) for key in found[0] if key != "prompt"}
    rest["raw_prompt"] = numpy.array([row["prompt"] for row in found] + [None], dtype=object)[:-1]
    return DataProto(batch=batch, non_tensor_batch=rest)


@pytest.mark.parametrize("by", [BY_FUNCTION, "manager"])
def test_verls_reward_loop_gives_the_numbers_of_the_tree(folder: Path, by: str) -> None:
    one = worker(folder, by)
    outputs = one.loop.run_until_complete(one.compute_score_batch(data(one.input_tokenizer, SCORED)))
    assert [found["reward_score"] for found in outputs] == [pytest.approx(ANSWERS[at].value) for at in SCORED]
    # what verl makes of the extras: the keys of the first sample, looked up in all
    keys = list(outputs[0]["reward_extra_info"])
    table = torch.tensor([[found["reward_extra_info"][key] for key in keys] for found in outputs])
    assert torch.isfinite(table).all() and {"score", "part/correct", "scored/correct", "status/ok"} <= set(keys)
    assert all(list(found["reward_extra_info"]) == keys for found in outputs)


@pytest.mark.parametrize("by", [BY_FUNCTION, "manager"])
def test_a_missing_number_is_an_error_of_its_own_sample(folder: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr("medrl.interop.scoring.asyncio.sleep", at_once)
    one = worker(folder, by)
    batch = data(one.input_tokenizer, [0, *LOST, 2])

    async def each() -> list[Any]:
        calls = [one.compute_score(batch[at : at + 1]) for at in range(len(batch))]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, *lost, last = one.loop.run_until_complete(each())
    assert first["reward_score"] == pytest.approx(1.0) and last["reward_score"] == pytest.approx(0.3)
    assert all(isinstance(error, RewardFailed) for error in lost)
    assert "the judge is down" in str(lost[-1])


def test_v1_keeps_the_siblings_of_a_sample_without_a_number(folder: Path) -> None:
    """verl's own bookkeeping of a group, run out of its source: its module imports hydra, which does not fit medrl's pins.

    Where a session raises, its siblings are stored all the same, and the group is told as one with a failure.
    """
    import verl

    source = Path(verl.__file__).parent / "trainer" / "ppo" / "v1" / "agent_loop_tq.py"
    found = {getattr(node, "name", ""): node for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))}
    wanted = [found["_settle_session_tasks"], found["_run_prompt"]]
    told: list[str] = []

    class Queue:
        @staticmethod
        async def async_kv_put(key: str, partition_id: str, tag: dict[str, str]) -> None:
            told.append(tag["status"])

    names: dict[str, Any] = {"asyncio": asyncio, "logger": logging.getLogger("verl"), "tq": Queue, "Any": Any}
    exec(compile(ast.Module(wanted, []), str(source), "exec"), names)  # type: ignore[arg-type]
    judge = worker(folder, "manager")
    batch = data(judge.input_tokenizer, [0, 2, LOST[0], 6])
    stored: dict[int, float] = {}

    class Worker:
        config = SimpleNamespace(actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(n=4)))

        async def _run_agent_loop(self, *_: Any, session_id: int, **__: Any) -> None:
            scored = await judge.compute_score(batch[session_id : session_id + 1])
            stored[session_id] = scored["reward_score"]

    run = names["_run_prompt"](Worker(), {"uid": "one"}, {}, {"validate": False})
    judge.loop.run_until_complete(run)
    assert told == ["running", "failure"]
    assert stored == {0: pytest.approx(1.0), 1: pytest.approx(0.3), 3: pytest.approx(1.0)}


def test_the_manager_knows_a_cut_response_and_the_function_cannot(folder: Path) -> None:
    found = {}
    for by in (BY_FUNCTION, "manager"):
        one = worker(folder, by)
        batch = data(one.input_tokenizer, [0], ended=False)
        found[by] = one.loop.run_until_complete(one.compute_score(batch))["reward_score"]
    assert found == {BY_FUNCTION: pytest.approx(1.0), "manager": pytest.approx(0.3)}


def test_scores_stand_at_the_last_token(folder: Path) -> None:
    one = worker(folder, "manager")
    batch = data(one.input_tokenizer, SCORED[:4])
    values = [float(ANSWERS[at].value or 0.0) for at in SCORED[:4]]
    scores = type(one.reward_manager).assemble_rm_scores(batch, values)
    assert scores.sum(-1).tolist() == pytest.approx(values)
    assert ((scores != 0).int().argmax(-1) == batch.batch["attention_mask"][:, 3:].sum(-1) - 1).all()


def test_verl_reads_the_written_rows(folder: Path, tmp_path: Path) -> None:
    """Its own data set: prompt, ground truth and the whole problem come out as they went in."""
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    overrides = ("problems={source: clinic, kinds: [term, choice, number], count: 20}", "held_out.count=4")
    recipe = load_recipe(EXAMPLES / "openrlhf" / "recipe.yaml", overrides)
    out = export_verl(tree(), recipe, tmp_path / "out").folder
    settings = OmegaConf.create({"cache_dir": str(tmp_path / "cache"), "filter_overlong_prompts": False})
    tokenizer = AutoTokenizer.from_pretrained(str(folder.parent / "model"))
    read = RLHFDataset([str(out / "prompts.jsonl")], tokenizer, settings)
    problems = problems_of(recipe.problems)
    assert len(read) == len(problems) == 20
    for at, problem in enumerate(problems):
        row = read[at]
        assert unpack(row["extra_info"]["problem"]) == problem
        assert row["reward_model"]["ground_truth"] == problem.reference
        assert row["raw_prompt"] == [dict(message) for message in problem.messages]
