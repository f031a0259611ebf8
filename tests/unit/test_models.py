"""Policies: made, saved, loaded, rendered, and the faults that `check` finds before compute is spent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.errors import MissingFile, TemplateError
from medrl.models import ModelShape, Policy, PolicySpec, train_tokenizer
from medrl.types import Problem, ask

MakePolicy = Callable[..., Policy]


def test_a_new_policy_is_a_function_of_its_seed(make_policy: MakePolicy) -> None:
    one, two, other = make_policy(seed=1), make_policy(seed=1), make_policy(seed=2)
    names = one.model.state_dict()
    assert all(torch.equal(two.model.state_dict()[n], names[n]) for n in names)
    assert not torch.equal(other.model.get_input_embeddings().weight, one.model.get_input_embeddings().weight)


def test_making_a_policy_leaves_the_global_random_state(make_policy: MakePolicy) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    make_policy(seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_default_shape_has_about_a_million_parameters() -> None:
    policy = Policy.new(["fever and cough"] * 3, ModelShape())
    assert 0.5e6 < policy.parameters < 1.5e6
    policy.check()


def test_save_and_load_keep_weights_tokens_and_template(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    policy.save(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    again = Policy.load(str(tmp_path))
    problem = Problem("p", ({"role": "system", "content": "Be short."}, *ask("发热 and fever?")))
    assert again.prompt_ids(problem) == policy.prompt_ids(problem)
    ids = torch.tensor([policy.prompt_ids(problem)])
    again.model.eval()
    assert torch.equal(again.model(input_ids=ids).logits, policy.model(input_ids=ids).logits)
    assert (again.stop_ids, again.context, again.name) == (policy.stop_ids, 128, str(tmp_path))
    again.check()
    assert Policy.load(str(tmp_path), PolicySpec(dtype="bfloat16")).model.dtype == torch.bfloat16


@pytest.mark.parametrize("path", ["./no/such/folder", "/no/such/folder"])
def test_a_missing_folder_is_named(path: str) -> None:
    with pytest.raises(MissingFile, match="there is no model at"):
        Policy.load(path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no model can be read"):
        Policy.load(str(tmp_path))


def test_a_folder_without_weights_is_named(make_policy: MakePolicy, tmp_path: Path) -> None:
    make_policy().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingFile, match=r"no model can be read[\s\S]*safetensors"):
        Policy.load(str(tmp_path))


@pytest.mark.parametrize(
    ("knobs", "said"),
    [({"dtype": "fp16"}, "it is one of float32"), ({"device": "gpu"}, "it is auto, cpu, cuda or cuda:N")],
)
def test_a_type_or_device_that_does_not_exist_is_refused(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PolicySpec(**knobs)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"layers": 0, "context": -1}, "layers is 0; it must be at least 1; context is -1"),
        ({"hidden_size": 130}, "hidden_size 130 is no even multiple of heads, 4"),
        ({"key_value_heads": 3}, "heads 4 is no multiple of key_value_heads, 3"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(knobs: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModelShape(**knobs)


def test_the_prompt_ends_where_the_assistant_begins(make_policy: MakePolicy) -> None:
    policy = make_policy()
    ids = policy.prompt_ids(Problem("p", ask("fever?")))
    assert policy.tokenizer.decode(ids) == "<|im_start|>user\nfever?<|im_end|>\n<|im_start|>assistant\n"
    assert policy.decode((*ids[:1], *policy.tokenizer("gout")["input_ids"], *policy.stop_ids)) == "gout"


def test_the_tokenizer_writes_any_text() -> None:
    tokenizer = train_tokenizer(["fever"] * 4, 300)
    for text in ("发热 38.5 °C", "naïve\ttab\n\n## Thinking", "🩺"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer("123")["input_ids"]) == ["1", "2", "3"]
    assert len(tokenizer) <= 300


def test_the_template_marks_what_the_assistant_writes(make_policy: MakePolicy) -> None:
    tokenizer = make_policy().tokenizer
    chat = [{"role": "user", "content": "fever?"}, {"role": "assistant", "content": "gout"}]
    marked = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    written = [t for t, m in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(written) == "gout<|im_end|>"


def test_a_sound_policy_passes(make_policy: MakePolicy) -> None:
    make_policy().check()


def no_template(policy: Policy) -> None:
    policy.tokenizer.chat_template = None


def no_generation_prompt(policy: Policy) -> None:
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"


def no_question(policy: Policy) -> None:
    policy.tokenizer.chat_template = "{% if add_generation_prompt %}go{% else %}pong<|im_end|>{% endif %}"


def no_eos(policy: Policy) -> None:
    policy.tokenizer.eos_token = None
    policy.model.generation_config.eos_token_id = None


def endless_turns(policy: Policy) -> None:
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace("<|im_end|>", "")


def two_bos(policy: Policy) -> None:
    policy.tokenizer.bos_token = "<|endoftext|>"
    policy.tokenizer.chat_template = "{{ bos_token + bos_token }}" + policy.tokenizer.chat_template


def few_embeddings(policy: Policy) -> None:
    policy.tokenizer.add_tokens(["<new>"])


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (no_template, "no chat template"),
        (no_generation_prompt, "ignores add_generation_prompt"),
        (no_question, "leaves out the user's message"),
        (no_eos, "no EOS token"),
        (endless_turns, r"none of the stop tokens \('<\|im_end\|>'\): responses would not end"),
        (two_bos, "two"),
        (few_embeddings, r"has \d+ tokens but the model embeds \d+"),
    ],
)
def test_what_does_not_fit_is_said(make_policy: MakePolicy, break_it: Callable[[Policy], None], says: str) -> None:
    policy = make_policy()
    break_it(policy)
    with pytest.raises(TemplateError, match=says):
        policy.check()


def test_all_faults_are_reported_at_once(make_policy: MakePolicy) -> None:
    policy = make_policy()
    no_generation_prompt(policy)
    few_embeddings(policy)
    with pytest.raises(TemplateError) as caught:
        policy.check()
    assert str(caught.value).count("\n  - ") == 2


def test_stop_tokens_of_the_generation_configuration_count(make_policy: MakePolicy) -> None:
    policy = make_policy()
    policy.model.generation_config.eos_token_id = [0, policy.tokenizer.eos_token_id]
    assert set(policy.stop_ids) == {0, policy.tokenizer.eos_token_id}
    assert policy.barred_ids == ()


def test_an_outline_renders_and_is_checked_as_the_whole_policy_is_and_holds_no_weights(
    make_policy: MakePolicy, tmp_path: Path
) -> None:
    whole = make_policy()
    whole.model.generation_config.eos_token_id = [whole.tokenizer.eos_token_id, 7]
    whole.save(tmp_path)
    outline = Policy.load(str(tmp_path), weights=False)
    outline.check()
    assert {weight.device.type for weight in outline.model.parameters()} == {"meta"}
    assert outline.stop_ids == Policy.load(str(tmp_path)).stop_ids == (whole.tokenizer.eos_token_id, 7)
    problem = Problem("p", ask("fever"))
    assert outline.prompt_ids(problem) == whole.prompt_ids(problem)
    assert (outline.context, outline.parameters, outline.barred_ids) == (whole.context, whole.parameters, ())
