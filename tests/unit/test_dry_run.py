"""`medrl run --dry-run`: what it names, counts and refuses, and that nothing is written or downloaded."""

from pathlib import Path

import pytest

from medrl.cli import main
from medrl.commands.dry_run import dry_run, memory_needed, shape_at
from medrl.commands.dry_run_names import where
from medrl.errors import RecipeError
from medrl.recipes import load_recipe
from medrl.recipes.awaited import Awaited
from medrl.sizing import SHAPES

EXAMPLE = Path(__file__).parents[2] / "examples" / "huatuogpt_o1"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["tiny", "rebuild", "laptop", "paper_8b", "paper_70b"])
def test_every_recipe_of_the_example_is_sound_and_fits(name: str) -> None:
    found = dry_run(load_recipe(EXAMPLE / f"{name}.yaml"), "H200")
    assert found.faults == ()
    assert {one.state for one in found.names} <= {"offline"}
    assert {"a step", "the run", "model", "a rank"} <= {title for title, _ in found.lines}


def test_patients_of_the_clinic_are_no_file() -> None:
    found = dry_run(load_recipe(EXAMPLE.parent / "patient" / "tiny.yaml"))
    assert found.faults == () and found.names == ()


def test_the_published_figures_are_those_of_the_paper() -> None:
    said = dict(dry_run(load_recipe(EXAMPLE / "paper_8b.yaml"), "H200").lines)
    assert "= 128 rollouts; 3 updates of 128" in said["a step"]  # batch 128, three PPO passes
    assert "156 steps, 19,968 rollouts" in said["the run"]  # 20,000 episodes
    assert said["model"] == "8,030,261,248 parameters"  # of the published config.json
    assert "lr 5e-07" in said["the run"]


def test_what_does_not_fit_is_a_fault(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe, large = str(EXAMPLE / "paper_8b.yaml"), "optimization.critic.path=meta-llama/Llama-3.1-70B-Instruct"
    assert main(["run", recipe, "--dry-run", "--gpu", "H100", large]) == 1
    assert "needs 215 GB with its critic, and a H100 has 80" in capsys.readouterr().err
    assert main(["run", recipe, "--dry-run", "--gpu", "H100", f"folder={tmp_path / 'run'}"]) == 0
    assert "GPU hours for RL" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_a_critic_is_shared_out_as_the_policy_is() -> None:
    """A copy of the 8B policy: 18 bytes a parameter over eight ranks, and activations of its own."""
    knobs = ["optimization.critic.path=null", "cluster.learners.ranks=8"]
    found = dry_run(load_recipe(EXAMPLE / "paper_8b.yaml", knobs), "H100")
    said = dict(found.lines)
    assert found.faults == () and "30.7 GB of 80" in said["a rank"]
    assert said["critic"].startswith("24.6 GB more: weights 2.0, gradients 4.0, optimizer 12.0, activations 6.6")
    whole = dry_run(load_recipe(EXAMPLE / "paper_8b.yaml", [*knobs, "cluster.learners.ranks=1"]), "H200")
    assert "151.1 GB more" in dict(whole.lines)["critic"] and any("with its critic" in one for one in whole.faults)


def test_a_rank_must_fit_beside_the_engine_of_its_gpu(tmp_path: Path) -> None:
    apart, shared = ["cluster.rewards.actors=0"], ["cluster.rewards.actors=0", "cluster.colocate=true"]
    lower = [*shared, "cluster.engine.gpu_memory_utilization=0.45"]
    found = [dry_run(load_recipe(EXAMPLE / "paper_8b.yaml", knobs), "H200") for knobs in (apart, shared, lower)]
    assert "16 x H200 (engines 8 x tp1 + 8)" in dict(found[0].lines)["estimate"]
    assert "gpu_memory_utilization leaves 14: lower" in found[1].faults[0] and "estimate" not in dict(found[1].lines)
    assert found[2].faults == () and "8 x H200 (engines 8 x tp1 in turn with 8)" in dict(found[2].lines)["estimate"]


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        ("optimization.last_layers=99", "optimization: last_layers is 99, and the model has 4; choose fewer"),
        (
            "optimization.lora={rank: 8, targets: [q_proj, query]}",
            "optimization: lora: no layer of the model is named query",
        ),
    ],
)
def test_layers_that_the_policy_lacks_are_a_fault(knob: str, said: str) -> None:
    (fault,) = dry_run(load_recipe(EXAMPLE / "tiny.yaml", [knob])).faults
    assert fault.startswith(said)
    fitting = ["optimization.last_layers=2", "optimization.lora={rank: 8, targets: [q_proj]}"]
    assert [dry_run(load_recipe(EXAMPLE / "tiny.yaml", [one])).faults for one in fitting] == [(), ()]


def test_names_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "cache" / "datasets--somebody--rows").mkdir(parents=True)
    assert where(str(tmp_path / "rows.jsonl"), data=True) == "here"
    assert where(str(tmp_path / "no.jsonl"), data=True) == "missing"
    assert where("runs/no.jsonl", data=True) == "missing"
    assert where("somebody/rows", data=True) == "in the cache"
    assert where("somebody/rows", data=False) == "offline"


def test_a_hub_that_does_not_answer_is_asked_once_and_aloud(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi, constants

    asked: list[str] = []

    def no_network(self: HfApi, name: str, **knobs: object) -> None:
        asked.append(name)
        assert name in capsys.readouterr().err  # told before the answer is waited for
        raise ConnectionError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "repo_info", no_network)
    assert main(["run", str(EXAMPLE / "paper_8b.yaml"), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert asked == ["meta-llama/Llama-3.1-8B-Instruct"] and said.out.count("not reached") == 5
    assert "does not answer (ConnectionError); it is not asked again" in said.err


def test_what_the_hub_refuses_does_not_silence_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    kinds: list[tuple[type[HfHubHTTPError], int]] = [
        (GatedRepoError, 403), (RepositoryNotFoundError, 404), (HfHubHTTPError, 429), (HfHubHTTPError, 502)
    ]  # fmt: skip
    left = iter(kinds)

    def refuse(self: HfApi, name: str, **knobs: object) -> None:
        if kind := next(left, None):
            raise kind[0]("refused", response=httpx.Response(kind[1], request=httpx.Request("GET", "http://hub")))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "repo_info", refuse)
    told: list[str] = []
    found = dry_run(load_recipe(EXAMPLE / "paper_8b.yaml"), tell=told.append)
    assert [one.state for one in found.names] == ["gated", "missing", "not reached", "not reached", "on the hub"]
    assert len(told) == 5 and len(found.faults) == 1, "a gate is no missing model"


def test_a_missing_file_is_a_fault_that_names_its_knob() -> None:
    overrides = ["problems.source=nowhere/at/all.jsonl", "demonstrations=null", "sft=null", "held_out=null"]
    found = dry_run(load_recipe(EXAMPLE / "tiny.yaml", overrides))
    assert found.faults == ("problems.source: there is no nowhere/at/all.jsonl",)


def test_the_shape_of_a_folder_goes_before_the_name(tmp_path: Path) -> None:
    """A fine-tuned model keeps its base's name and may have another vocabulary."""
    from transformers import LlamaConfig

    folder = tmp_path / "Llama-3.1-8B-medical"
    LlamaConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128,
        vocab_size=500, head_dim=16, tie_word_embeddings=False,
    ).save_pretrained(folder)  # fmt: skip
    settings = ["policy.new=null", f"policy.path={folder}", "demonstrations=null", "sft=null"]
    said = dict(dry_run(load_recipe(EXAMPLE / "tiny.yaml", settings)).lines)
    assert int(said["model"].split()[0].replace(",", "")) < 500_000 < SHAPES["Llama-3.1-8B"].parameters


HUATUOGPT = EXAMPLE.parent / "huatuogpt" / "paper"


def test_huatuogpt_at_the_papers_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SFT on eight ranks, then PPO on what SFT and the reward model will have written, whose shapes are the base's."""
    assert main(["run", str(HUATUOGPT / "sft.yaml"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "5,298 updates of 128 demonstrations" in said  # three epochs of 226,042
    assert "7,069,016,064 parameters" in said and "8 ranks, ZeRO 3" in said and "GPU hours" in said
    (tmp_path / "prompts.jsonl").write_text('{"question": "?"}\n')
    knobs = [f"problems.source={tmp_path / 'prompts.jsonl'}"]
    assert main(["run", str(HUATUOGPT / "ppo.yaml"), "--dry-run", *knobs]) == 0
    said = capsys.readouterr().out
    assert "runs/huatuogpt/paper/sft/sft: awaited" in said and "runs/huatuogpt/paper/reward: awaited" in said
    assert "7,069,016,064 parameters" in said and "s of it the critic's" in said


def test_only_what_a_recipe_beside_it_writes_is_awaited(capsys: pytest.CaptureFixture[str]) -> None:
    awaited = Awaited(HUATUOGPT / "ppo.yaml")
    assert "runs/huatuogpt/paper/sft/sft" in awaited and "runs/huatuogpt/paper/ppo/best" not in awaited
    assert awaited.base("runs/huatuogpt/paper/reward") == "bigscience/bloomz-7b1-mt"
    assert where("runs/huatuogpt/paper/sfd/sft", data=False, awaited=awaited) == "missing"
    fault = "reward.then: there is no folder runs/huatuogpt/paper/reward"
    assert awaited.excuses(fault) and awaited.excuses(f"{fault}/model; did you mean 'x'?")
    assert not awaited.excuses(f"{fault}_model") and not Awaited().excuses(fault)
    assert main(["run", str(HUATUOGPT / "ppo.yaml"), "--dry-run", "reward.then.model=runs/huatuogpt/paper/rewrad"]) == 2
    assert "there is no folder runs/huatuogpt/paper/rewrad" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="there is no folder runs/huatuogpt/paper/reward"):
        load_recipe(HUATUOGPT / "ppo.yaml")  # the run itself waits for nothing


def test_sft_must_fit() -> None:
    """AdamW's float32 states of 8B on one GPU are 128 GB; on eight ranks a seventh of them fits."""
    recipe = load_recipe(EXAMPLE / "paper_8b.yaml")
    said = dict(dry_run(recipe, "H100").lines)
    assert said["a rank of SFT"].startswith("28.6 GB of 80 on H100 (8 ranks, ZeRO 3): ")
    assert "471 updates of 128" in said["SFT"] and "GPU hours" in said["SFT estimate"]
    alone = dry_run(load_recipe(EXAMPLE / "paper_8b.yaml", ["placement=local"]), "H100")
    assert alone.faults[0].startswith("SFT needs") and "take placement=ray" in alone.faults[0]
    two = dry_run(load_recipe(EXAMPLE / "paper_8b.yaml", ["cluster.learners.ranks=2"]), "H100")
    assert "SFT needs 83 GB of a H100, which has 80: take more cluster.learners.ranks" in two.faults[0]


def test_a_step_needs_the_memory_of_its_larger_stage() -> None:
    def needed(file: Path, *knobs: str) -> float:
        return memory_needed(load_recipe(file, knobs)) or 0.0

    sft, both = HUATUOGPT / "sft.yaml", EXAMPLE / "laptop.yaml"
    said = dict(dry_run(load_recipe(sft)).lines)  # of no loop
    assert said["a rank of SFT"].startswith(f"{needed(sft) / 1e9:.1f} GB of 80")
    large = ("sft.batch_size=64", "sft.microbatch_size=64")
    assert needed(both, *large) == needed(both, *large, "trainer.steps=0") > needed(both, "sft=null")
    assert needed(both) == needed(both, "sft=null") > needed(both, "trainer.steps=0")


def test_the_shape_of_bloom_is_read_from_its_configuration(tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(vocab_size=90, hidden_size=32, n_layer=3, n_head=4)
    config.save_pretrained(tmp_path)
    shape = shape_at(str(tmp_path))
    assert shape is not None and shape.parameters == BloomForCausalLM(config).num_parameters()
    assert SHAPES["bloomz-7b1"].parameters == 7_069_016_064  # as published
