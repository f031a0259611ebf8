"""One request on its way into vLLM and out of it: sampling parameters in, a rollout out."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from medrl.engines.base import Request, Sampling
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import ProblemError, UnsupportedModel
from medrl.models.policy import open_image
from medrl.types import FinishReason, Rollout, VersionSpan

Finished: TypeAlias = Rollout | UnsupportedModel
NEVER = -100.0  # added to a logit: the least that vLLM takes, and a probability below 1e-40


def longest(served: ServedModel, settings: EngineSettings) -> int:
    """Tokens of a prompt and its response together."""
    return min(served.context, settings.max_model_len or served.context)


def salt(version: int) -> str:
    """What the hashes of a request's cached blocks begin with: none reads keys and values of another version."""
    return f"policy-{version}"


def exact(served: ServedModel, settings: EngineSettings, sampling: Sampling) -> bool:
    """Whether the learner would compute the same log-probabilities. See `Engine.exact`."""
    dtype = served.dtype if settings.dtype == "policy" else settings.dtype
    return not sampling.truncates and settings.midway != "keep" and dtype == served.dtype == "float32"


def check_prompts(requests: Sequence[Request], served: ServedModel, settings: EngineSettings) -> None:
    """Nothing is cut off a prompt.

    Raises:
        ProblemError: A prompt leaves no room for a response, or holds what the model does not know.
    """
    context = longest(served, settings)
    for request in requests:
        if len(request.prompt_ids) >= context:
            raise ProblemError(
                f"the prompt of problem {request.problem_id!r} has {len(request.prompt_ids)} tokens and the engine's "
                f"context is {context}; nothing is cut off prompts: shorten it, leave it out, or raise max_model_len"
            )
        if not request.prompt_ids or min(request.prompt_ids) < 0 or max(request.prompt_ids) >= served.rows:
            raise ProblemError(
                f"the prompt of problem {request.problem_id!r} is empty or holds token ids beyond the {served.rows} that "
                "the model embeds; render it with the policy's own tokenizer"
            )
        if request.images and not served.sees:
            raise ProblemError(f"problem {request.problem_id!r} has images, and the policy takes text alone")


def parameters(sampling: Sampling, seed: int, room: int, served: ServedModel) -> Any:
    """vLLM's `SamplingParams` for one request; its draws come from a generator of its own."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_tokens=min(sampling.max_tokens, room),
        seed=seed if sampling.temperature > 0 else None,
        stop_token_ids=list(served.stop_ids),
        ignore_eos=True,  # stop_ids say all of it
        logit_bias=dict.fromkeys(served.barred_ids, NEVER) or None,
        logprobs=0,  # of the sampled token alone
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def enter(
    engine: Any, name: str, request: Request, served: ServedModel, settings: EngineSettings, version: int
) -> None:
    """Hand one request to the engine."""
    prompt: dict[str, Any] = {"prompt_token_ids": list(request.prompt_ids), "cache_salt": salt(version)}
    if request.images:
        prompt["prompt_token_ids"] = _one_placeholder_each(request, served)
        prompt["multi_modal_data"] = {"image": [open_image(image) for image in request.images]}
    room = longest(served, settings) - len(request.prompt_ids)
    engine.add_request(name, prompt, parameters(request.sampling, request.seed, room, served))


def finished(output: Any | None, request: Request, served: ServedModel) -> Finished:
    """The rollout of vLLM's `RequestOutput`; None is of a request that never began."""
    if output is None:
        return _rollout(request, served, [], [], "abort", ())
    if request.images and tuple(output.prompt_token_ids) != request.prompt_ids:
        return UnsupportedModel(
            f"the prompt of problem {request.problem_id!r} has {len(request.prompt_ids)} tokens, and vLLM made "
            f"{len(output.prompt_token_ids)} of it and its {len(request.images)} images: the learner would train on "
            "another prompt than the one that was answered"
        )
    completion = output.outputs[0]
    flat = completion.logprobs
    logprobs = [flat.logprobs[first] for first in flat.start_indices] if flat is not None else []
    spans = tuple(VersionSpan(s.start, s.end, int(s.version)) for s in completion.weight_versions or ())
    reason: FinishReason = completion.finish_reason if completion.finish_reason in ("stop", "length") else "abort"
    return _rollout(request, served, list(completion.token_ids), logprobs, reason, spans)


def written_so_far(engine: Any, name: str, request: Request, served: ServedModel) -> Finished:
    """The unfinished rollout of a request that runs; what vLLM itself would put out for an abort."""
    from vllm.v1.engine import FinishReason as Reason

    processor = engine.output_processor
    (inner,) = processor.external_req_ids[name]
    output = processor.request_states[inner].make_request_output(
        new_token_ids=[], pooling_output=None, finish_reason=Reason.ABORT, stop_reason=None
    )
    return finished(output, request, served)


def _rollout(
    request: Request,
    served: ServedModel,
    tokens: list[int],
    logprobs: list[float],
    reason: FinishReason,
    spans: tuple[VersionSpan, ...],
) -> Rollout:
    return Rollout(
        text=served.decode(tokens),
        finish_reason=reason,
        token_count=len(tokens),
        problem_id=request.problem_id,
        index=request.index,
        seed=request.seed,
        prompt_ids=request.prompt_ids,
        token_ids=tuple(tokens),
        logprobs=tuple(logprobs),
        loss_mask=(True,) * len(tokens),
        versions=spans,
        images=request.images,
    )


def _one_placeholder_each(request: Request, served: ServedModel) -> list[int]:
    """The prompt as vLLM wants it: it expands one placeholder for each image by itself.

    Raises:
        ProblemError: The placeholders cannot be told apart by image.
    """
    ids, token, count = request.prompt_ids, served.image_token, len(request.images)
    total = ids.count(token) if token is not None else 0
    starts = [i for i, one in enumerate(ids) if one == token and (i == 0 or ids[i - 1] != token)]
    if len(starts) != count and (not total or total % count):
        raise ProblemError(
            f"the prompt of problem {request.problem_id!r} has {total} image placeholders in {len(starts)} places for "
            f"{count} images; put text between its images"
        )
    if len(starts) == count:
        keep = set(starts)
    else:  # images side by side: each takes as many as the next
        places = [i for i, one in enumerate(ids) if one == token]
        keep = set(places[:: total // count])
    return [one for i, one in enumerate(ids) if one != token or i in keep]
