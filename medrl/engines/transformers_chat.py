"""`TransformersChat`: a chat model in this process, by transformers alone, behind the same `ChatClient` protocol as a server.

For small models and machines without vLLM. It samples with the embedded engine (`in_process.py`): every draw hangs on its
request's seed alone, and torch's global generators are left alone. Nothing holds a reply to a JSON schema while it is
written; where one is asked for, the whole reply is checked, and one that breaks it is a `ChatBadReply`.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medrl.chat.base import (
    ChatBadReply,
    ChatError,
    ChatRefused,
    ChatReply,
    ChatRequest,
    ChatTimedOut,
)
from medrl.chat.config import KnobbedChat, digest
from medrl.chat.openai_wire import sendable
from medrl.chat.strict import read_reply
from medrl.engines.base import Request, Sampling
from medrl.engines.chat_thread import ChatThread, Job
from medrl.engines.in_process import InProcessEngine
from medrl.engines.vllm_chat import CONTENTS
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.models import Policy, PolicySpec
from medrl.types import Rollout
from medrl.verifiers.classifier_model import folder_digest


@dataclass(frozen=True)
class TransformersChat(KnobbedChat):
    """One model, loaded into this process."""

    model: str = ""
    """Folder or hub id of the model; its tokenizer must have a chat template."""
    revision: str | None = None
    """Commit, branch or tag of a hub model."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights."""
    device: str = "auto"
    """Where it computes: cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""
    concurrency: int = 16
    """The most requests in a batch; those that come meanwhile wait for the next one. Typical 4 to 64."""
    timeout: float = 300.0
    """Seconds from when a batch begins to the end of a reply. Typical 30 to 600."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template, such as {enable_thinking: false}."""
    _shared: "_Worker" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("concurrency", "timeout"))
        if not self.model:
            faults.append("model is empty; name a folder or a hub id")
        try:
            PolicySpec(path=self.model, dtype=self.dtype, device=self.device)
        except ValueError as error:
            faults.append(str(error).removeprefix("policy: "))
        if faults:
            raise RecipeError("TransformersChat", faults)
        self._begin()

    def _begin(self) -> None:
        object.__setattr__(self, "_shared", _Worker(self))

    def fingerprint(self) -> str:
        folder = Path(self.model)
        weights = folder_digest(folder, CONTENTS) if folder.is_dir() else [self.model, self.revision]
        return digest(["transformers", weights, self.dtype, dict(self.template_options)])

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await asyncio.wrap_future(self._shared.submit(request))

    async def close(self) -> None:
        await asyncio.to_thread(self._shared.stop)


class _Worker(ChatThread):
    """The thread that owns the model."""

    def __init__(self, chat: TransformersChat) -> None:
        super().__init__(chat.model)
        self._chat = chat

    def _run(self) -> None:
        why: Exception | None = None
        under_way: list[Job] = []
        try:
            self._serve(under_way)
        except Exception as error:  # no such model, no memory: those who wait must hear of it
            why = error.with_traceback(None)  # whose frames hold the model
        self._hang_up(why, under_way)

    def _serve(self, under_way: list[Job]) -> None:
        """Answer batch after batch; `under_way` is the one at work."""
        chat = self._chat
        spec = PolicySpec(path=chat.model, revision=chat.revision, dtype=chat.dtype, device=chat.device)
        policy = Policy.load(chat.model, spec)
        policy.check()
        policy.move(spec.torch_device())
        engine = InProcessEngine(policy, max_rows=chat.concurrency)
        while jobs := self._admitted():
            under_way[:] = jobs
            asyncio.run(_answer(jobs, engine, chat))

    def _admitted(self) -> list[Job]:
        """The next batch, waited for; nothing when it is time to stop."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or self._waiting)
            if self._stopping:
                return []
            return [self._waiting.popleft() for _ in range(min(self._chat.concurrency, len(self._waiting)))]


async def _answer(jobs: Sequence[Job], engine: InProcessEngine, chat: TransformersChat) -> None:
    """Reply to a batch; what does not fit the model's context is refused."""
    asked: list[Request] = []
    for number, job in enumerate(jobs):
        try:
            asked.append(_request(number, job.request, engine.policy, chat))
        except ChatError as error:
            job.end(error)
        except Exception as error:  # a template that takes no such chat: this request's fault
            job.end(ChatRefused(f"{chat.model} does not take this request ({type(error).__name__}: {error})"))
    asked.sort(key=lambda one: (one.sampling.temperature, one.sampling.max_tokens))  # equal ones share a batch

    async def all_replies() -> None:
        async for rollout in engine.generate(asked, 0):
            _reply(jobs[rollout.index], rollout, chat.model)

    try:
        await asyncio.wait_for(all_replies(), chat.timeout)
    except TimeoutError:
        for job in jobs:
            job.end(ChatTimedOut(f"{chat.model} gave no whole reply within {chat.timeout:g} s"))


def _request(number: int, request: ChatRequest, policy: Policy, chat: TransformersChat) -> Request:
    turns = [{"role": message.role, "content": sendable(message.content)} for message in request.messages]
    text = policy.renderer.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=False, **chat.template_options
    )
    ids = policy.tokenizer.encode(text, add_special_tokens=False)
    if len(ids) + request.max_tokens > policy.context:
        raise ChatRefused(
            f"{chat.model}: a prompt of {len(ids)} tokens and max_tokens={request.max_tokens} do not fit its context of "
            f"{policy.context} tokens"
        )
    seed = random.SystemRandom().getrandbits(63) if request.seed is None else request.seed % 2**63
    return Request("", number, seed, tuple(ids), Sampling(request.temperature, max_tokens=request.max_tokens))


def _reply(job: Job, rollout: Rollout, model: str) -> None:
    request = job.request
    if rollout.finish_reason == "length":
        cut = ChatBadReply(f"{model}: the reply was cut off at {request.max_tokens} tokens; raise max_tokens")
        return job.end(cut.of("length", rollout.text))
    if not rollout.text.strip():
        return job.end(ChatBadReply(f"{model}: the reply is empty").of("empty"))
    if request.json_schema is not None:
        try:
            read_reply(rollout.text, request.json_schema, model)
        except ChatBadReply as error:
            return job.end(error.of("schema", rollout.text))
    return job.end(ChatReply(rollout.text, model, len(rollout.prompt_ids), len(rollout.token_ids)))
