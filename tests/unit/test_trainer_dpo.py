"""DPO over TRL: the policy comes to prefer what was chosen, on held-out pairs too, and is left as it was otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.cli import main
from medrl.data.feedback import Candidate
from medrl.data.preferences import PreferencePair, write_pairs
from medrl.errors import DataError
from medrl.models import Policy
from medrl.trainers.dpo import DPOSettings, prefer
from medrl.types import Problem, ask

MakePolicy = Callable[..., Policy]
SETTINGS = DPOSettings(epochs=4, lr=1e-3, beta=0.5, batch_size=8, microbatch_size=4)
WORDS = ("red", "green", "blue", "yellow", "fever", "gout", "knee", "cough")


def pair(number: int, question: str) -> PreferencePair:
    """Committing is better than hedging, whatever is asked."""
    word = WORDS[number % len(WORDS)]
    problem = Problem(f"p{number}", ask(f"{question} {word}"))
    return PreferencePair(
        f"p{number}", problem, Candidate(f"the answer is {word}"), Candidate(f"who knows what {word} is")
    )


TRAIN = [pair(i, "which colour is it?") for i in range(16)]
HELD_OUT = [pair(i, "what is it then?") for i in range(8)]


def margins(policy: Policy, pairs: Sequence[PreferencePair]) -> list[float]:
    """log pi(chosen) - log pi(rejected) of each pair."""
    found = []
    for one in pairs:
        head = list(policy.prompt_ids(one.problem))
        sums = []
        for side in (one.chosen, one.rejected):
            tail = policy.tokenizer(side.text + "<|im_end|>")["input_ids"]
            with torch.no_grad():
                logits = policy.model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
            sums.append(sum(float(logits[len(head) + i - 1, t]) for i, t in enumerate(tail)))
        found.append(sums[0] - sums[1])
    return found


@pytest.mark.slow
def test_the_implicit_reward_rises_and_holds_on_pairs_that_were_not_seen(make_policy: MakePolicy) -> None:
    policy = make_policy()
    before = margins(policy, HELD_OUT)
    seen: list[float] = []
    told = {"held_out": HELD_OUT, "on_update": lambda n, of, logs: seen.append(logs["rewards/margins"])}
    result = prefer(policy, TRAIN, SETTINGS, **told)
    gains = [after - first for after, first in zip(margins(policy, HELD_OUT), before, strict=True)]
    assert result["updates"] == 8 and len(seen) == 8
    assert seen[0] == pytest.approx(0.0, abs=1e-4) and seen[-1] > 1.0  # the reference is the policy at the start
    assert sum(gain > 0 for gain in gains) / len(gains) > 0.8
    assert result["accuracy"] == pytest.approx(sum(gain > 0 for gain in gains) / len(gains))
    assert result["margin"] == pytest.approx(SETTINGS.beta * sum(gains) / len(gains), rel=0.05)
    assert "forward" not in vars(policy.model) and not policy.model.training


@pytest.mark.slow
def test_a_policy_in_16_bits_is_its_own_reference_without_a_copy(
    make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step the two are equal to the bit; a reference in 16 bits beside float32 weights is not."""
    from trl import DPOTrainer

    policy, trainers, seen, init = make_policy(), list[Any](), list[float](), DPOTrainer.__init__
    torch.nn.Module.to(policy.model, torch.bfloat16)

    def spy(self: Any, *args: Any, **knobs: Any) -> None:
        trainers.append(self)
        init(self, *args, **knobs)

    monkeypatch.setattr(DPOTrainer, "__init__", spy)
    told = {"held_out": HELD_OUT, "on_update": lambda n, of, logs: seen.append(logs["rewards/margins"])}
    result = prefer(policy, TRAIN, replace(SETTINGS, beta=1.0), **told)
    assert [one.ref_model for one in trainers] == [None]
    assert seen[0] == pytest.approx(0.0, abs=1e-4) and seen[-1] > 1.0 and result["accuracy"] > 0.8
    assert {weight.dtype for weight in policy.model.parameters()} == {torch.bfloat16}


@pytest.mark.slow
def test_the_command_reads_a_recipe_and_writes_a_policy(
    tmp_path: Path, make_policy: MakePolicy, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sft").mkdir()
    make_policy().save(tmp_path / "sft")
    held_out = [replace(one, id=f"h{i}") for i, one in enumerate(HELD_OUT)]
    write_pairs(tmp_path / "train.jsonl", TRAIN)
    write_pairs(tmp_path / "held_out.jsonl", held_out)
    (tmp_path / "recipe.yaml").write_text(
        f"policy: {tmp_path / 'sft'}\npairs: {{source: {tmp_path / 'train.jsonl'}}}\n"
        f"held_out: {{source: {tmp_path / 'held_out.jsonl'}}}\nfolder: {tmp_path / 'out'}\nthreads: 1\n"
        "training: {epochs: 4, lr: 1.0e-3, beta: 0.5, batch_size: 8, microbatch_size: 4}\n"
    )
    assert main(["train-dpo", str(tmp_path / "recipe.yaml")]) == 0
    assert "the better reply is preferred in" in capsys.readouterr().out
    before, after = (margins(Policy.load(str(tmp_path / name)), HELD_OUT) for name in ("sft", "out"))
    assert sum(a > b for a, b in zip(after, before, strict=True)) > 6
    assert main(["train-dpo", str(tmp_path / "recipe.yaml")]) == 2
    assert "holds something" in capsys.readouterr().err
    shared = [
        str(tmp_path / "recipe.yaml"),
        f"held_out.source={tmp_path / 'train.jsonl'}",
        f"folder={tmp_path / 'new'}",
    ]
    assert main(["train-dpo", *shared]) == 2
    assert "are also trained on" in capsys.readouterr().err


def test_pairs_that_cannot_be_compared_or_do_not_fit_are_errors(make_policy: MakePolicy) -> None:
    policy = make_policy()
    with pytest.raises(DataError, match="no preference pairs"):
        prefer(policy, [], SETTINGS)
    with pytest.raises(DataError, match=r"2 replies have more than 5 tokens with their prompt, the first in pair 'p0'"):
        prefer(policy, TRAIN[:1], replace(SETTINGS, max_length=5))
    turns = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"})
    apart = replace(TRAIN[0], chosen=replace(TRAIN[0].chosen, turns=turns))
    with pytest.raises(DataError, match="part before the last reply"):
        prefer(policy, [apart], SETTINGS)


def test_all_faults_of_the_knobs_come_at_once() -> None:
    with pytest.raises(ValueError, match=r"dpo: lr is -1.*beta is 0.*label_smoothing is 0\.5"):
        DPOSettings(lr=-1, beta=0, label_smoothing=0.5)
