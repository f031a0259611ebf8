"""`VLLMChat`: a chat model in this process, by vLLM, behind the same `ChatClient` protocol as a server.

For judges on a machine of their own, or beside a policy, without a server to look after. vLLM takes hold of its process
(`torch.distributed`, on the CPU the number of threads too); where a learner needs these for itself, run `vllm serve`
and take the `openai` client.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from medrl.chat.base import ChatClient, ChatReply, ChatRequest
from medrl.chat.config import digest, type_name
from medrl.engines.vllm_chat_engine import ChatEngine
from medrl.errors import RecipeError
from medrl.knobs import out_of_range

EDGE = 2**20  # bytes at the beginning and at the end of each weights file that stand for the whole of it


@dataclass(frozen=True)
class VLLMChat(ChatClient):
    """One model, loaded into this process."""

    model: str = ""
    """Folder or hub id of the model; its tokenizer must have a chat template."""
    revision: str | None = None
    """Commit, branch or tag of a hub model."""
    dtype: str = "auto"
    """Of the weights: "auto", "bfloat16", "float16", "float32". On the CPU "auto" is float32, so that equal requests give
    equal replies."""
    context: int | None = None
    """Longest prompt and reply together, in tokens; empty is the model's own."""
    concurrency: int = 64
    """The most requests in the engine at once; others wait. Typical 16 to 256."""
    timeout: float = 300.0
    """Seconds from when a request enters the engine to the end of its reply. Typical 30 to 600."""
    gpu_memory: float = 0.9
    """Share of a GPU's memory that vLLM takes; smaller beside a policy in training. Typical 0.2 to 0.9."""
    eager: bool = False
    """Whether to run without compilation: a start in seconds, and slower replies."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template, such as {enable_thinking: false}."""
    _shared: ChatEngine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("concurrency", "timeout", "gpu_memory"))
        if self.context is not None:
            faults += out_of_range(self, above_0=("context",))
        if self.gpu_memory > 1:
            faults.append(f"gpu_memory is {self.gpu_memory}; it is a share, at most 1")
        if not self.model:
            faults.append("model is empty; name a folder or a hub id")
        if faults:
            raise RecipeError("VLLMChat", faults)
        object.__setattr__(self, "_shared", ChatEngine(self))

    def knobs(self) -> dict[str, Any]:
        """The fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def __getstate__(self) -> dict[str, Any]:
        return self.knobs()

    def __setstate__(self, knobs: dict[str, Any]) -> None:
        for name, value in knobs.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_shared", ChatEngine(self))

    def to_config(self) -> dict[str, Any]:
        return {"type": type_name(self), **self.knobs(), "template_options": dict(self.template_options)}

    def fingerprint(self) -> str:
        weights = prints_of(Path(self.model)) if Path(self.model).is_dir() else [self.model, self.revision]
        return digest(["vllm", weights, self.dtype, dict(self.template_options)])

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await asyncio.wrap_future(self._shared.submit(request))

    async def close(self) -> None:
        await asyncio.to_thread(self._shared.stop)


def prints_of(folder: Path) -> list[list[str | int]]:
    """Name, size and a digest of both ends of each file of a model: other weights give another answer, in a second."""
    prints: list[list[str | int]] = []
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model"):
            size = path.stat().st_size
            with path.open("rb") as file:
                ends = sha256(file.read(EDGE))
                file.seek(max(0, size - EDGE))
                ends.update(file.read(EDGE))
            prints.append([path.name, size, ends.hexdigest()[:16]])
    return prints
