"""What a vLLM engine is told: its knobs, and all that it must know of a policy without having it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from medrl.files import atomic_folder
from medrl.knobs import out_of_range
from medrl.models import Policy

Midway = Literal["recompute", "keep", "refuse"]
STEP = 4096  # tokens in one step on a CPU
Transfer = Literal["buckets", "nccl", "ipc"]
NEED_CUDA = ("nccl", "ipc")


@dataclass(frozen=True)
class EngineSettings:
    """The knobs of one vLLM engine."""

    max_num_seqs: int = 64
    """Responses written at the same time; further requests wait. Typical 32 to 64 on a CPU, 128 to 512 on a GPU."""

    max_model_len: int | None = None
    """Longest prompt and response together, in tokens, with an environment the whole episode; empty is the model's own.
    A run whose prompts and limits do not fit is refused before it starts."""

    max_batched_tokens: int | None = None
    """Tokens of prompts and responses in one step; empty lets vLLM choose (on a CPU 4,096). On a CPU at least one whole
    sequence. Typical 2,048 to 16,384."""

    kv_cache_gib: float | None = None
    """GiB for keys and values; empty is 1 on a CPU, and on a GPU what `gpu_memory_utilization` leaves."""

    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that weights, cache and work space take together. Typical 0.85 to 0.95 for an engine with
    a GPU of its own, 0.3 to 0.6 beside a learner."""

    block_size: int | None = None
    """Tokens in a block of the cache: prompts are shared in whole blocks. Empty is 32 on a CPU (where vLLM's own choice
    of 128 would share no short prompt), and vLLM's choice on a GPU."""

    tensor_parallel: int = 1
    """GPUs (on a CPU: processes) over which each layer is split. Typical 1 to 8, within one node."""

    dtype: Literal["policy", "float32", "bfloat16", "float16"] = "policy"
    """Of weights and computation; "policy" is what the learner computes in: the policy's type, or bfloat16 with
    `deepspeed.bf16`. Another type makes log-probabilities differ from the learner's, which then recomputes them."""

    enforce_eager: bool | None = None
    """Whether to run without compilation and CUDA graphs: a start in seconds, and slower steps. Empty is true on a CPU."""

    prefix_caching: bool = True
    """Whether requests with the same beginning, such as those of a group, share its computation."""

    midway: Midway = "recompute"
    """What an update does with unfinished responses. "recompute": keys and values of what is written are computed again
    under the new weights, so that every further token is drawn from the new policy exactly. "keep": they stay, which
    costs nothing; further tokens are drawn from the new weights over old keys and values, and their log-probabilities
    say so. "refuse": an update while anything is unfinished is an error."""

    transfer: Transfer = "buckets"
    """How weights arrive: "buckets" (in process, or through Ray's object store), or by vLLM's own transfers, which need CUDA
    and `placement: ray`: "nccl" (broadcast from the GPU of the learner's rank 0) or, with `cluster.colocate`, "ipc" (read
    out of the learner's memory on the same GPU)."""

    sleep_mode: bool = False
    """Whether the engine can give its memory back between its turns (`sleep`, `wake`), for a GPU that it shares with a
    learner; `cluster.colocate` sets it. On a CPU it sleeps without giving any back."""

    from_checkpoint: bool = True
    """Whether weights are read from the folder at the start. False makes them up, to be replaced by a first update;
    until then nothing is sampled."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("max_num_seqs", "gpu_memory_utilization", "tensor_parallel"))
        for name in ("max_model_len", "max_batched_tokens", "kv_cache_gib", "block_size"):
            if getattr(self, name) is not None:
                faults += out_of_range(self, above_0=(name,))
        if self.gpu_memory_utilization > 1:
            faults.append(f"gpu_memory_utilization is {self.gpu_memory_utilization}; it is a share, at most 1")
        for name, known in (("midway", get_args(Midway)), ("transfer", get_args(Transfer))):
            if getattr(self, name) not in known:
                faults.append(f"{name} is {getattr(self, name)!r}; it is {', '.join(known)}")
        if self.dtype not in ("policy", "float32", "bfloat16", "float16"):
            faults.append(f"dtype is {self.dtype!r}; it is policy, float32, bfloat16 or float16")
        if faults:
            raise ValueError("engine: " + "; ".join(faults))


@dataclass(frozen=True)
class ServedModel:
    """A policy as an engine needs it: no weights, so that it travels to any process.

    Attributes:
        folder: A Hugging Face folder with configuration, tokenizer and (first) weights, readable where the engine runs.
        dtype: torch's name of the type that the learner computes in, which is that of the policy unless it is told otherwise.
        context: Longest sequence, prompt and response together.
        vocabulary: Number of token ids that the tokenizer knows.
        rows: Number of token ids that the model embeds; a prompt with another would end the engine.
        stop_ids: Token ids that end a response.
        barred_ids: Token ids that no response may hold.
        tokenizer: What decodes responses.
        sees: Whether prompts may hold images.
        image_token: The placeholder of which an image takes one or many.
    """

    folder: str
    dtype: str
    context: int
    vocabulary: int
    rows: int
    stop_ids: tuple[int, ...]
    barred_ids: tuple[int, ...]
    tokenizer: Any
    sees: bool = False
    image_token: int | None = None

    @classmethod
    def of(cls, policy: Policy, folder: str | Path, *, write: bool = True) -> "ServedModel":
        """Write the policy into `folder` (whole or not at all) and describe it; without `write` it must be there."""
        path = Path(folder)
        if write:
            with atomic_folder(path) as fresh:
                policy.save(fresh)
        config = policy.model.config
        image, embedding = getattr(config, "image_token_id", None), cast(Any, policy.model.get_input_embeddings())
        return cls(
            folder=str(path.resolve()),
            dtype=str(policy.model.dtype).removeprefix("torch."),
            context=policy.context,
            vocabulary=len(policy.tokenizer),
            rows=int(embedding.weight.shape[0]),
            stop_ids=policy.stop_ids,
            barred_ids=policy.barred_ids,
            tokenizer=policy.tokenizer,
            sees=policy.processor is not None,
            image_token=getattr(config, "image_token_index", None) if image is None else image,
        )

    def decode(self, token_ids: list[int]) -> str:
        """Text of a response, without special tokens, as `Policy.decode` gives it."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))


def arguments(served: ServedModel, settings: EngineSettings, cpu: bool) -> dict[str, Any]:
    """The settings as vLLM's `EngineArgs` has them.

    Raises:
        ValueError: The settings ask of a CPU what needs CUDA.
    """
    if cpu and settings.transfer in NEED_CUDA:
        raise ValueError(
            f"engine: transfer={settings.transfer!r} needs CUDA, and vLLM computes on the CPU here; take transfer='buckets'"
        )
    longest = settings.max_model_len or served.context
    gib = settings.kv_cache_gib if settings.kv_cache_gib is not None else (1.0 if cpu else None)
    optional = {
        # A prompt that is computed in pieces draws a token too many, and vLLM winds the request's generator back by an
        # offset, which generators on a CPU do not have: there prompts are computed whole.
        "enable_chunked_prefill": False if cpu else None,
        "max_num_batched_tokens": max(settings.max_batched_tokens or STEP, longest)
        if cpu
        else settings.max_batched_tokens,
        "kv_cache_memory_bytes": None if gib is None else int(gib * 2**30),
        "block_size": settings.block_size or (32 if cpu else None),
        "distributed_executor_backend": "mp" if settings.tensor_parallel > 1 else None,
    }
    return {
        "model": served.folder,
        "skip_tokenizer_init": not served.sees,
        "trust_remote_code": False,
        "dtype": served.dtype if settings.dtype == "policy" else settings.dtype,
        "max_model_len": longest,
        "max_num_seqs": settings.max_num_seqs,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "tensor_parallel_size": settings.tensor_parallel,
        "enforce_eager": cpu if settings.enforce_eager is None else settings.enforce_eager,
        "enable_prefix_caching": settings.prefix_caching,
        "enable_sleep_mode": settings.sleep_mode and not cpu,
        "load_format": "auto" if settings.from_checkpoint else "dummy",
        "logprobs_mode": "processed_logprobs",
        "worker_extension_cls": "medrl.engines.vllm_weights.Extension",
        "weight_transfer_config": {"backend": f"medrl_{settings.transfer}"},
        **{name: value for name, value in optional.items() if value is not None},
    }
