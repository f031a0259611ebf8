"""A policy: the model whose weights are trained, the tokenizer (or processor) it reads with, and the checks that both fit.

Prompts are rendered to token ids here and nowhere else, so that what the engine samples from, the learner trains on and
the reference scores is one sequence of ids. Nothing is ever cut off a prompt: a prompt that is too long is an error.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from medrl.errors import MissingFile, TemplateError
from medrl.models.dialogue_formats import format_of
from medrl.models.tokenizer import train_tokenizer
from medrl.types import Message, Problem

REMEMBERED = 256  # images whose pixels are kept; 0.5 to 2 MB each
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ModelShape:
    """The size of a Qwen2-type model made from scratch. The defaults give about a million parameters."""

    vocab_size: int = 2048
    """Upper bound on the tokenizer's size. Typical 1,024 to 8,192 for a closed world."""

    hidden_size: int = 128
    """Width; a multiple of the number of heads."""

    layers: int = 4
    """Depth."""

    heads: int = 4
    """Attention heads; hidden_size / heads must be 32, 64 or more for vLLM."""

    key_value_heads: int = 2
    """Heads that share keys and values (grouped-query attention); divides `heads`."""

    intermediate_size: int = 384
    """Width of the feed-forward layers. Typical 3 to 4 times `hidden_size`."""

    context: int = 512
    """Longest sequence, prompt and response together, in tokens."""

    def __post_init__(self) -> None:
        faults = [f"{name} is {value}; it must be at least 1" for name, value in vars(self).items() if value < 1]
        if not faults and self.hidden_size % (2 * self.heads):
            faults.append(f"hidden_size {self.hidden_size} is no even multiple of heads, {self.heads}")
        if not faults and self.heads % self.key_value_heads:
            faults.append(f"heads {self.heads} is no multiple of key_value_heads, {self.key_value_heads}")
        if faults:
            raise ValueError("policy.new: " + "; ".join(faults))


@dataclass(frozen=True)
class PolicySpec:
    """Which policy to train: one that exists (`path`), or one from scratch (`new`)."""

    path: str | None = None
    """Folder or hub id of a Hugging Face checkpoint."""

    new: ModelShape | None = None
    """Shape of a model to make from scratch; its tokenizer is trained on the recipe's demonstrations and prompts."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in memory."""

    revision: str | None = None
    """Branch, tag or commit on the hub; pin it for a run that can be repeated."""

    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint. Off: such code can do anything on this machine."""

    attention: str | None = None
    """Attention implementation (sdpa, flash_attention_2, eager); empty lets transformers choose."""

    device: str = "auto"
    """Where the model computes: cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""

    chat_format: str | None = None
    """Chat template by name, `huatuogpt` or `huatuogpt-en`, in place of the checkpoint's own (or of ChatML, for a model from
    scratch). Saved with the policy. Empty: as it is."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"policy: dtype is {self.dtype!r}; it is one of {', '.join(DTYPES)}")
        if self.chat_format is not None:
            try:
                format_of(self.chat_format)
            except TemplateError as error:
                raise ValueError(f"policy: {error}") from error
        try:
            self.torch_device()
        except RuntimeError as error:
            raise ValueError(f"policy: device is {self.device!r}; it is auto, cpu, cuda or cuda:N") from error

    def torch_device(self) -> torch.device:
        """The device, `auto` resolved."""
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)


@dataclass
class Policy:
    """A causal language model (or vision-language model) with its tokenizer.

    Attributes:
        model: Any model of transformers that generates text.
        tokenizer: Its tokenizer, with a chat template and an EOS token.
        processor: For vision-language models, what turns images into tensors; else None.
        name: Where it came from, for logs and model cards.
    """

    model: PreTrainedModel
    tokenizer: Any
    processor: Any = None
    name: str = "policy"
    _pixels: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str, spec: PolicySpec | None = None, *, weights: bool = True) -> "Policy":
        """Read a folder or hub id. Weights come from safetensors; code that comes along is not run unless asked for.

        Without `weights` the model is an outline on torch's "meta" device: it renders prompts, decodes and is checked as the
        whole one is, takes no memory, and computes nothing. That is what a process needs whose engines and learners are
        elsewhere.
        """
        spec = spec or PolicySpec(path=path)
        folder = Path(path)
        if (folder.is_absolute() or path.startswith(".")) and not folder.exists():
            raise MissingFile(f"there is no model at {path}; give a folder with config.json, or a hub id")
        common: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code, "revision": spec.revision}
        try:
            config = AutoConfig.from_pretrained(path, **common)
            loader: Any = AutoModelForCausalLM
            processor = None
            if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
                from transformers import AutoModelForImageTextToText, AutoProcessor

                loader, processor = AutoModelForImageTextToText, AutoProcessor.from_pretrained(path, **common)
            how: dict[str, Any] = {"dtype": DTYPES[spec.dtype], "attn_implementation": spec.attention, **common}
            model = (
                loader.from_pretrained(path, use_safetensors=True, **how)
                if weights
                else _outline(loader, path, config, how)
            )
            tokenizer = processor.tokenizer if processor is not None else AutoTokenizer.from_pretrained(path, **common)
        except (OSError, ValueError, ImportError, SafetensorError) as error:
            raise MissingFile(f"no model can be read from {path!r}: {error}") from error
        policy = cls(model, tokenizer, processor, name=path)
        if spec.chat_format is not None:
            policy.renderer.chat_template = format_of(spec.chat_format).template
        if weights:
            policy.move(spec.torch_device())
        return policy

    @classmethod
    def new(
        cls, texts: Iterable[str], shape: ModelShape | None = None, seed: int = 0, chat_format: str | None = None
    ) -> "Policy":
        """A Qwen2-type model with random weights and a tokenizer trained on `texts`, and on the words of its format."""
        shape = shape or ModelShape()
        tokenizer = train_tokenizer(texts, shape.vocab_size, chat_format)
        config = Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_value_heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=shape.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Qwen2ForCausalLM(config)
        return cls(model, tokenizer, name="from scratch")

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder: safetensors weights, configuration, tokenizer."""
        self.model.save_pretrained(folder)
        (self.processor or self.tokenizer).save_pretrained(folder)

    def move(self, device: torch.device) -> None:
        """Put the weights on a device; engine and learner compute where they are."""
        torch.nn.Module.to(self.model, device)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def parameters(self) -> int:
        """How many weights, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end a response: the tokenizer's EOS and those of the generation configuration."""
        declared = self.model.generation_config.eos_token_id if self.model.generation_config else None
        ids = [self.tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])]
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    @cached_property
    def end_id(self) -> int:
        """The stop token with which the chat template ends an assistant's turn; the first one where there is no template."""
        if not self.renderer.chat_template:
            return self.stop_ids[0]
        tail = _ids_of_a_turn(self)[1]
        return next((i for i in tail if i in self.stop_ids), self.stop_ids[0])

    @cached_property
    def barred_ids(self) -> tuple[int, ...]:
        """Token ids that no response may hold: placeholders that the model takes for an image of the prompt."""
        if self.processor is None:
            return ()
        names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
        ids = [getattr(self.model.config, name, None) for name in names]
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    @property
    def renderer(self) -> Any:
        """What holds the chat template: the processor where it has one, else the tokenizer."""
        return self.processor if getattr(self.processor, "chat_template", None) else self.tokenizer

    @property
    def context(self) -> int:
        """Longest sequence in tokens that the model was made for."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 0) or self.tokenizer.model_max_length)

    def prompt_ids(self, problem: Problem) -> tuple[int, ...]:
        """The rendered prompt, ending where the assistant's turn begins. Image tokens are expanded."""
        messages = [dict(m) for m in problem.messages]
        if self.processor is not None:
            text = self.renderer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            images = [open_image(i) for i in images_of(problem.messages)]
            encoded = self.processor(text=text, images=images or None, add_special_tokens=False)
            return tuple(int(t) for t in encoded["input_ids"][0])
        rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return tuple(int(t) for t in rendered)

    def pixels(self, images: Sequence[Any]) -> dict[str, Tensor]:
        """Processor tensors of `images` (paths or bytes), first axis counting images; the latest paths are remembered."""
        rows = []
        for image in images:
            key = image if isinstance(image, str) else None
            if key is None or key not in self._pixels:
                encoded = dict(self.processor.image_processor(open_image(image), return_tensors="pt"))
                if key is not None:
                    self._pixels[key] = encoded
                    if len(self._pixels) > REMEMBERED:
                        del self._pixels[next(iter(self._pixels))]
            else:
                encoded = self._pixels[key]
            rows.append(encoded)
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]} if rows else {}

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a response, without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def check(self) -> None:
        """See that chat template, EOS and vocabulary fit, before any compute is spent.

        Raises:
            TemplateError: With every fault found and what to do about it.
        """
        faults = [fault for check in _CHECKS if (fault := check(self))]
        if faults:
            raise TemplateError(f"the tokenizer of {self.name} does not fit:" + "".join(f"\n  - {f}" for f in faults))


def _outline(loader: Any, path: str, config: Any, how: dict[str, Any]) -> PreTrainedModel:
    from transformers import GenerationConfig

    with torch.device("meta"):
        model: PreTrainedModel = loader.from_config(config, **{k: v for k, v in how.items() if k != "revision"})
    with contextlib.suppress(OSError):  # many checkpoints have none
        model.generation_config = GenerationConfig.from_pretrained(path, revision=how["revision"])
    model.eval()
    return model


def images_of(messages: Sequence[Message]) -> tuple[Any, ...]:
    """References (path, or bytes) of the images in a prompt, in order."""
    parts = [p for m in messages if not isinstance(m["content"], str) for p in m["content"]]
    return tuple(p.get("path", p.get("bytes")) for p in parts if p.get("type") == "image")


def open_image(reference: Any) -> Any:
    """A Pillow image (RGB) from a path, bytes, or an image."""
    from io import BytesIO

    from PIL import Image

    if isinstance(reference, Image.Image):
        return reference.convert("RGB")
    if isinstance(reference, str) and not Path(reference).exists():
        raise MissingFile(f"there is no image at {reference}; paths are relative to the folder you run in")
    return Image.open(BytesIO(reference) if isinstance(reference, bytes) else reference).convert("RGB")


def _template(policy: Policy) -> str | None:
    if not policy.renderer.chat_template:
        return "it has no chat template; use an instruction-tuned checkpoint, or set tokenizer.chat_template"
    user = [{"role": "user", "content": "ping"}]
    render: Callable[..., str] = policy.renderer.apply_chat_template
    opened, bare = render(user, tokenize=False, add_generation_prompt=True), render(user, tokenize=False)
    if "ping" not in opened:
        return "its chat template leaves out the user's message"
    if opened == bare:
        return "its chat template ignores add_generation_prompt, so the model is never told that it is its turn"
    return None


def _eos(policy: Policy) -> str | None:
    if not policy.stop_ids:
        return "it has no EOS token, so no response would ever end; set tokenizer.eos_token"
    if not policy.renderer.chat_template:
        return None
    ids, tail = _ids_of_a_turn(policy)
    if not set(policy.stop_ids) & set(tail):
        stops = ", ".join(repr(policy.tokenizer.convert_ids_to_tokens(i)) for i in policy.stop_ids)
        return (
            f"its chat template ends an assistant turn with none of the stop tokens ({stops}): responses would not end"
        )
    bos = policy.tokenizer.bos_token_id
    if bos is not None and list(ids[:2]) == [bos, bos]:
        return "its chat template and its tokenizer both add BOS, so prompts begin with two"
    return None


def _ids_of_a_turn(policy: Policy) -> tuple[list[int], list[int]]:
    """Tokens of a chat of one turn, and of its end from the answer's last word on."""
    turn = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "pong"}]
    text = policy.renderer.apply_chat_template(turn, tokenize=False)
    parts = (text, text[text.rindex("pong") :])
    whole, tail = (list(policy.tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts)
    return whole, tail


def _vocabulary(policy: Policy) -> str | None:
    rows = int(policy.model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    highest = max(len(policy.tokenizer), max(policy.stop_ids, default=0) + 1)
    if rows < highest:
        return f"it has {highest} tokens but the model embeds {rows}; resize the embeddings or use its own tokenizer"
    return None


_CHECKS = (_template, _eos, _vocabulary)
