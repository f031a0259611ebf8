"""Supervised fine-tuning over TRL: the loss falls, is on the assistant's words alone, and repeats bit for bit."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.data.demonstrations import Demonstration
from medrl.errors import DataError
from medrl.learners import TorchLearner
from medrl.models import Policy
from medrl.trainers import SFTSettings, fine_tune
from medrl.trainers.sft import assistant_mask
from medrl.trainers.sft_learner import fine_tune_by, optimization_of

pytestmark = pytest.mark.slow

MakePolicy = Callable[..., Policy]
SETTINGS = SFTSettings(epochs=6, lr=3e-3, batch_size=4, microbatch_size=2, weight_decay=0.0)
ONCE = replace(SETTINGS, epochs=1)


def demonstration(name: str, question: str, answer: str) -> Demonstration:
    chat = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return Demonstration(name, chat, "", answer)


DEMONSTRATIONS = [
    demonstration(f"d{i}", f"which colour is it? {word}", f"## Final Response\n\n{word}")
    for i, word in enumerate(("red", "green", "blue", "yellow", "fever", "gout", "knee", "cough"))
]


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def mean_logprob(policy: Policy, demonstrations: list[Demonstration]) -> float:
    """Of the assistant's tokens, its end of turn included."""
    total, count = 0.0, 0
    for one in demonstrations:
        head = policy.tokenizer.apply_chat_template(
            [dict(m) for m in one.messages[:-1]], add_generation_prompt=True, return_dict=False
        )
        tail = policy.tokenizer(str(one.messages[-1]["content"]) + "<|im_end|>")["input_ids"]
        with torch.no_grad():
            logits = policy.model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
        total += sum(float(logits[len(head) + i - 1, t]) for i, t in enumerate(tail))
        count += len(tail)
    return total / count


def test_the_loss_falls_and_the_answers_become_likely(make_policy: MakePolicy) -> None:
    policy = make_policy()
    before = mean_logprob(policy, DEMONSTRATIONS)
    seen: list[tuple[int, int, float]] = []
    result = fine_tune(
        policy, DEMONSTRATIONS, replace(SETTINGS, epochs=20),
        on_update=lambda n, total, figures: seen.append((n, total, figures["loss"])),
    )  # fmt: skip
    assert [n for n, _, _ in seen] == list(range(1, 41))
    assert {total for _, total, _ in seen} == {40}
    assert result["updates"] == 40
    assert seen[-1][2] < 0.6 * seen[0][2]
    assert mean_logprob(policy, DEMONSTRATIONS) > 0.6 * before
    assert not policy.model.training


def test_the_first_loss_is_that_of_the_assistants_words(make_policy: MakePolicy) -> None:
    policy = make_policy()
    expected = -mean_logprob(policy, DEMONSTRATIONS)
    losses: list[float] = []
    fine_tune(
        policy, DEMONSTRATIONS, replace(SETTINGS, epochs=1, batch_size=8, microbatch_size=8),
        on_update=lambda n, total, figures: losses.append(figures["loss"]),
    )  # fmt: skip
    # TRL may count the newline after the turn as well; it moves the mean of about 70 tokens by little
    assert losses[0] == pytest.approx(expected, rel=0.02)


def labels_seen(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, demonstrations: list[Demonstration] = DEMONSTRATIONS,
    settings: SFTSettings = ONCE,
) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """Inputs and labels that the model is given while fine-tuning."""
    import trl

    seen: list[tuple[Tensor, Tensor]] = []
    original = trl.SFTTrainer.compute_loss

    def spy(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((inputs["input_ids"].clone(), inputs["labels"].clone()))
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(trl.SFTTrainer, "compute_loss", spy)
    fine_tune(policy, demonstrations, settings)
    monkeypatch.setattr(trl.SFTTrainer, "compute_loss", original)
    return seen


def test_labels_are_the_assistants_words_only(make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy()
    texts = set()
    for inputs, labels in labels_seen(policy, monkeypatch):
        for ids, wanted in zip(inputs, labels, strict=True):
            learnt = wanted != -100
            assert torch.equal(ids[learnt], wanted[learnt])
            texts.add(policy.tokenizer.decode(wanted[learnt]).rstrip("\n"))
    assert texts == {f"{d.messages[-1]['content']}<|im_end|>" for d in DEMONSTRATIONS}


def test_with_loss_on_assistant_all_its_turns_are_learnt(
    make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels that TRL hands to the model are the mask of the format's own test, in HuatuoGPT's format too."""
    from medrl.models.dialogue_formats import format_of

    said = ("my ear hurts", "since when?", "monday", "any fever?")
    turns = ({"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(said))
    chat = ({"role": "system", "content": "Ask."}, *turns)
    for layout in (None, "huatuogpt-en"):
        policy = make_policy()
        if layout:
            policy.tokenizer.chat_template = format_of(layout).template
        settings = replace(SETTINGS, epochs=1, loss_on="assistant")
        shown = [Demonstration("d", chat, "", said[-1])]
        ((ids, labels),) = labels_seen(policy, monkeypatch, shown, settings)
        expected_ids, mask = assistant_mask(policy, chat)
        assert ids[0].tolist() == expected_ids
        assert labels[0].tolist() == [t if m else -100 for t, m in zip(expected_ids, mask, strict=True)]
        learnt = policy.tokenizer.decode([t for t, m in zip(expected_ids, mask, strict=True) if m])
        assert learnt.replace("\n", "") == "since when?<|im_end|>any fever?<|im_end|>"


def test_it_repeats_bit_for_bit_for_a_seed(make_policy: MakePolicy) -> None:
    results = []
    for seed, noise in ((1, 10), (1, 20), (2, 10)):
        policy = make_policy()
        torch.manual_seed(noise)
        fine_tune(policy, DEMONSTRATIONS, replace(SETTINGS, epochs=1, batch_size=2), seed=seed)
        results.append(weights(policy))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
    assert not all(torch.equal(value, results[2][name]) for name, value in results[0].items())


def test_nothing_is_cut_and_nothing_is_left_out(make_policy: MakePolicy) -> None:
    long = demonstration("long", "fever?", "cough " * 60)
    with pytest.raises(DataError, match=r"1 demonstrations have more than 128 tokens, the first being 'long' with \d+"):
        fine_tune(make_policy(), [*DEMONSTRATIONS, long], SETTINGS)
    with pytest.raises(DataError, match="8 demonstrations have more than 20 tokens"):
        fine_tune(make_policy(), DEMONSTRATIONS, replace(SETTINGS, max_length=20))
    with pytest.raises(DataError, match="no demonstrations"):
        fine_tune(make_policy(), [], SETTINGS)


def test_without_a_folder_nothing_is_written_among_devices(
    make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    makedirs = os.makedirs

    def spy(path: str, *args: Any, **knobs: Any) -> None:
        made.append(Path(path))
        makedirs(path, *args, **knobs)

    monkeypatch.setattr(os, "makedirs", spy)
    fine_tune(make_policy(), DEMONSTRATIONS, replace(SETTINGS, epochs=1))
    assert not [path for path in made if path.is_relative_to(Path(os.devnull).parent)]


def test_it_goes_on_from_its_own_checkpoint(make_policy: MakePolicy, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=2, save_every=2)
    straight, killed, resumed = make_policy(), make_policy(), make_policy()
    whole = fine_tune(straight, DEMONSTRATIONS, settings, folder=tmp_path / "straight")

    class Killed(Exception):
        pass

    def kill(number: int, total: int, figures: dict[str, float]) -> None:
        if number == 3:
            raise Killed

    with pytest.raises(Killed):
        fine_tune(killed, DEMONSTRATIONS, settings, folder=tmp_path / "killed", on_update=kill)
    seen: list[int] = []
    rest = fine_tune(
        resumed,
        DEMONSTRATIONS,
        settings,
        folder=tmp_path / "killed",
        on_update=lambda n, total, figures: seen.append(n),
    )
    assert seen == [3, 4]
    again = fine_tune(make_policy(seed=9), DEMONSTRATIONS, settings, folder=tmp_path / "killed")
    assert rest == again == pytest.approx(whole)  # the mean is the stage's, were all of it or nothing left to do
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight).items())


def test_a_policy_in_bfloat16_learns_as_in_float32(make_policy: MakePolicy) -> None:
    """At the rate of the o1 paper: what is handed over are the weights of a float32 run, rounded."""
    settings = SFTSettings(epochs=6, lr=5e-6, batch_size=4, microbatch_size=2, bf16=True)
    trained = []
    for dtype in (torch.bfloat16, torch.float32):
        policy = make_policy()
        torch.nn.Module.to(policy.model, torch.bfloat16)
        before = weights(policy)
        torch.nn.Module.to(policy.model, dtype)
        fine_tune(policy, DEMONSTRATIONS, settings)
        trained.append(weights(policy))
    half, full = trained
    assert {value.dtype for value in half.values()} == {torch.bfloat16}
    assert all(torch.equal(value, full[name].bfloat16()) for name, value in half.items())
    moved = [float((value != before[name]).float().mean()) for name, value in full.items() if "proj.weight" in name]
    assert min(moved) > 0.9


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"batch_size": 32, "microbatch_size": 24}, "batch_size 32 is no multiple of microbatch_size 24"),
        ({"batch_size": 0, "lr": -1.0}, "lr is -1.0; it must be above 0; batch_size is 0"),
        ({"warmup_share": 1.5}, "warmup_share is 1.5"),
        ({"betas": (0.9, 1.0)}, "betas are"),
        ({"save_every": 0}, "save_every is 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SFTSettings(**knobs)


@pytest.mark.parametrize("loss_on", ["last", "assistant"])
def test_a_learner_gives_the_losses_of_trl(make_policy: MakePolicy, loss_on: Any, tmp_path: Path) -> None:
    """The very loss, learning rate and norm of each update where no order is left to choose; and it goes on when killed."""
    settings = replace(SETTINGS, epochs=6, batch_size=8, microbatch_size=4, warmup_share=0.3, loss_on=loss_on,
                       max_length=128, save_every=2)  # fmt: skip
    theirs, ours = list[dict[str, float]](), list[dict[str, float]]()
    straight, policy = make_policy(), make_policy()
    fine_tune(straight, DEMONSTRATIONS, settings, on_update=lambda n, total, figures: theirs.append(figures))

    def tune(policy: Policy, told: Callable[[int, int, dict[str, float]], None]) -> dict[str, float]:
        learner = TorchLearner(policy, optimization_of(settings, len(DEMONSTRATIONS)))
        return fine_tune_by(learner, policy, DEMONSTRATIONS, settings, folder=tmp_path, on_update=told)

    def kill(number: int, total: int, figures: dict[str, float]) -> None:
        ours.append(figures)
        assert total == 6
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(make_policy(), kill)
    tune(policy, lambda number, total, figures: ours.append(figures))
    ours = [*ours[:2], *ours[3:]]  # the third was done again
    for name in ("loss", "learning_rate", "grad_norm"):
        assert [row[name] for row in ours] == pytest.approx([row[name] for row in theirs], rel=1e-4, abs=1e-7), name
    assert all(torch.allclose(value, weights(straight)[name], atol=1e-4) for name, value in weights(policy).items())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["update-000004", "update-000006"]
    again = tune(make_policy(seed=9), kill)
    assert again["updates"] == 6.0 and math.isnan(again["loss"])  # nothing was left to do
