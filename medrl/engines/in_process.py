"""The embedded engine: samples from the learner's own module, in its process, with no second copy of the weights.

Decoding is a loop of our own over the model's forward pass rather than `generate`, for four things: requests with the
same prompt compute it once; a finished row leaves the batch at once, so that it does not hold up the rest, and waiting
requests take its place; every rollout is handed out the moment it ends, so that scoring overlaps sampling; and draws
depend on each request's seed alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from medrl.engines.base import Request, Sampling
from medrl.engines.gauge import Gauge
from medrl.engines.kv_cache import GROUPED, RowCache
from medrl.engines.sampling import draw, process_logits, uniform
from medrl.errors import ProblemError
from medrl.models import Policy
from medrl.types import FinishReason, Rollout, VersionSpan


@dataclass
class _Row:
    """A response being written."""

    request: Request
    limit: int  # tokens that it may have: the sampling limit, or what the context leaves
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: FinishReason | None = None


@dataclass
class _Live:
    """The rows in the batch. Column c of `mask_BC` is column c of the cache."""

    rows: list[_Row]
    cache: RowCache
    mask_BC: Tensor  # (B, C) 1 where a row has a token, 0 on its left padding
    seeds_B: Tensor
    next_B: Tensor  # the last token drawn, not yet in the cache
    position_B: Tensor  # its position


class InProcessEngine:
    """Samples from `policy.model`, whose weights may change between calls."""

    def __init__(self, policy: Policy, max_rows: int = 256) -> None:
        """Bind to a policy.

        Args:
            policy: Shared with the learner.
            max_rows: Responses written at the same time; bounds the cache's memory. Typical 64 to 512.
        """
        self.policy, self.max_rows = policy, max_rows
        self.tokens, self.busy = 0, 0.0  # drawn so far, and seconds that it took
        self.queue, self.load = Gauge(), Gauge()  # requests that wait, and that are being written
        self.stops = torch.tensor(policy.stop_ids, device=policy.device)
        self.barred = torch.tensor(policy.barred_ids, dtype=torch.long, device=policy.device)

    def exact(self, sampling: Sampling) -> bool:
        """True where the learner would compute the same: one module, float32, tokens drawn from the whole softmax."""
        return not sampling.truncates and self.policy.model.dtype == torch.float32

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        """Yield each rollout as it ends. See `Engine.generate`."""
        for request in requests:
            if len(request.prompt_ids) >= self.policy.context:
                raise ProblemError(
                    f"the prompt of problem {request.problem_id!r} has {len(request.prompt_ids)} tokens and the "
                    f"model's context is {self.policy.context}; nothing is cut off prompts: shorten or leave it out"
                )
        later = len(requests)
        with self._sampling_mode():
            for sampling, same in groupby(requests, key=lambda request: request.sampling):
                waiting = deque(same)
                later -= len(waiting)
                live: _Live | None = None
                while waiting or live is not None:
                    began = time.perf_counter()
                    live = self._step(live, waiting, sampling, later)
                    self.busy += time.perf_counter() - began
                    ended = [row for row in live.rows if row.finish]
                    live = self._drop_ended(live)
                    self.load.to(len(live.rows) if live is not None else 0)
                    for row in ended:
                        yield self._rollout(row, version)
                    await asyncio.sleep(0)

    @contextmanager
    def _sampling_mode(self) -> Iterator[None]:
        """Evaluation mode (no dropout, no gradient checkpointing) and grouped attention; what was is put back after."""
        modes = [(module, module.training) for module in self.policy.model.modules()]
        config = self.policy.model.config.get_text_config()
        attention = config._attn_implementation
        self.policy.model.eval()
        if attention == "sdpa":
            config._attn_implementation = GROUPED
        try:
            yield
        finally:
            self.queue.to(0)
            self.load.to(0)
            config._attn_implementation = attention
            for module, training in modes:
                module.training = training

    @torch.no_grad()
    def _step(self, live: _Live | None, waiting: deque[Request], sampling: Sampling, later: int) -> _Live:
        """Admit waiting requests where there is room, else draw one more token for every row; `later` is for the gauge."""
        room = self.max_rows - (len(live.rows) if live else 0)
        if waiting and (live is None or room >= max(1, self.max_rows // 4)):
            chosen = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            self.queue.to(len(waiting) + later)
            self.load.to(self.max_rows - room + len(chosen))
            admitted = self._prefill(chosen, sampling)
            return admitted if live is None else _join(live, admitted)
        assert live is not None
        logits_BV = self.policy.model(
            input_ids=live.next_B[:, None],
            attention_mask=live.mask_BC,
            position_ids=live.position_B[:, None],
            past_key_values=live.cache,
            use_cache=True,
        ).logits[:, -1]
        self._draw(live, logits_BV, sampling)
        return live

    def _prefill(self, requests: list[Request], sampling: Sampling) -> _Live:
        """Compute each distinct prompt once, hand its cache to all its requests, and draw their first tokens."""
        device = self.policy.device
        distinct = list(dict.fromkeys((r.prompt_ids, r.images) for r in requests))
        place = {prompt: row for row, prompt in enumerate(distinct)}
        width = max(len(ids) for ids, _ in distinct)
        ids_UC = torch.zeros(len(distinct), width, dtype=torch.long)
        mask_UC = torch.zeros_like(ids_UC)
        for row, (ids, _) in enumerate(distinct):
            ids_UC[row, width - len(ids) :] = torch.tensor(ids)
            mask_UC[row, width - len(ids) :] = 1
        ids_UC, mask_UC = ids_UC.to(device), mask_UC.to(device)
        pixels = self.policy.pixels([image for _, images in distinct for image in images])
        cache = RowCache(self.policy.model.config.get_text_config().num_hidden_layers)
        logits_UV = self.policy.model(
            input_ids=ids_UC,
            attention_mask=mask_UC,
            position_ids=(mask_UC.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **{name: tensor.to(device) for name, tensor in pixels.items()},
        ).logits[:, -1]
        owner_B = torch.tensor([place[r.prompt_ids, r.images] for r in requests], device=device)
        if len(requests) != len(distinct):
            cache.pick(owner_B)
        mask_BC = mask_UC[owner_B]
        live = _Live(
            rows=[_Row(r, min(sampling.max_tokens, self.policy.context - len(r.prompt_ids))) for r in requests],
            cache=cache,
            mask_BC=mask_BC,
            seeds_B=torch.tensor([r.seed for r in requests], device=device),
            next_B=torch.zeros(len(requests), dtype=torch.long, device=device),
            position_B=mask_BC.sum(-1) - 1,
        )
        self._draw(live, logits_UV[owner_B], sampling)
        return live

    def _draw(self, live: _Live, logits_BV: Tensor, sampling: Sampling) -> None:
        """Draw every row's next token and mark the rows that end with it."""
        self.tokens += len(live.rows)
        if len(self.barred):
            logits_BV = logits_BV.index_fill(-1, self.barred, -torch.inf)
        logits_BV = process_logits(logits_BV, sampling.temperature, sampling.top_k, sampling.top_p)
        step_B = torch.tensor([len(row.tokens) for row in live.rows], device=logits_BV.device)
        token_B, logprob_B = draw(logits_BV, uniform(live.seeds_B, step_B), greedy=sampling.temperature == 0)
        live.next_B, live.position_B = token_B, live.position_B + 1
        live.mask_BC = torch.nn.functional.pad(live.mask_BC, (0, 1), value=1)
        stopped_B = torch.isin(token_B, self.stops).tolist()
        for row, token, logprob, stopped in zip(
            live.rows, token_B.tolist(), logprob_B.tolist(), stopped_B, strict=True
        ):
            row.tokens.append(token)
            row.logprobs.append(logprob)
            if stopped:
                row.finish = "stop"
            elif len(row.tokens) >= row.limit:
                row.finish = "length"

    @torch.no_grad()
    def _drop_ended(self, live: _Live) -> _Live | None:
        """Take ended rows out of the batch; rows from its end fill their places."""
        going = [i for i, row in enumerate(live.rows) if not row.finish]
        if not going:
            return None
        if len(going) == len(live.rows):
            return live
        last = iter(reversed(going))
        places = [next(last) if live.rows[i].finish else i for i in range(len(going))]
        rows = torch.tensor(places, device=live.mask_BC.device)
        mask_BC = live.mask_BC[rows]
        padding = int(mask_BC.argmax(-1).min())  # columns that are padding for every row that stays
        if padding > mask_BC.shape[1] // 4:
            live.cache.pick(rows, padding)
            mask_BC = mask_BC[:, padding:]
        else:
            live.cache.keep(rows)
        return _Live(
            rows=[live.rows[i] for i in places],
            cache=live.cache,
            mask_BC=mask_BC,
            seeds_B=live.seeds_B[rows],
            next_B=live.next_B[rows],
            position_B=live.position_B[rows],
        )

    def _rollout(self, row: _Row, version: int) -> Rollout:
        request, n = row.request, len(row.tokens)
        assert row.finish is not None
        return Rollout(
            text=self.policy.decode(row.tokens),
            finish_reason=row.finish,
            token_count=n,
            problem_id=request.problem_id,
            index=request.index,
            seed=request.seed,
            prompt_ids=request.prompt_ids,
            token_ids=tuple(row.tokens),
            logprobs=tuple(row.logprobs),
            loss_mask=(True,) * n,
            versions=(VersionSpan(0, n, version),),
            images=request.images,
        )


def _join(live: _Live, admitted: _Live) -> _Live:
    """Lay new rows below the running ones, both ending at the same column."""
    live.cache.append(admitted.cache)
    width = max(live.mask_BC.shape[1], admitted.mask_BC.shape[1])
    masks = [torch.nn.functional.pad(x.mask_BC, (width - x.mask_BC.shape[1], 0)) for x in (live, admitted)]
    return _Live(
        rows=live.rows + admitted.rows,
        cache=live.cache,
        mask_BC=torch.cat(masks),
        seeds_B=torch.cat([live.seeds_B, admitted.seeds_B]),
        next_B=torch.cat([live.next_B, admitted.next_B]),
        position_B=torch.cat([live.position_B, admitted.position_B]),
    )
