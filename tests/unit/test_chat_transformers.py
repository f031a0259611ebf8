"""A chat model in this process by transformers: seeds, limits, the chat template, schemas, faults, several event loops."""

import asyncio
import pickle
from pathlib import Path

import pytest

from medrl.chat import (
    ChatBadReply,
    ChatRefused,
    ChatReply,
    ChatRequest,
    ChatTimedOut,
    ChatUnavailable,
    Message,
    build_chat,
)
from medrl.chat.cache import CachedChat
from medrl.engines.transformers_chat import TransformersChat
from medrl.errors import RecipeError
from medrl.models import ModelShape, Policy

TEXTS = ['Question: is it gout? Yes, gout. No, lupus. {"verdict": "yes"}', "What is it? It is gout."] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "model"
    Policy.new(TEXTS, ModelShape(vocab_size=300, hidden_size=32, layers=1, heads=2, context=128)).save(path)
    return path


def asked(seed: int | None = 1, text: str = "is it gout?", **knobs: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), **{"max_tokens": 24, "temperature": 1.0, "seed": seed, **knobs})  # type: ignore[arg-type]


async def outcome(chat: TransformersChat, request: ChatRequest) -> str:
    """The text of a reply, also of one that was cut off."""
    try:
        return (await chat.complete(request)).text
    except ChatBadReply as error:
        return error.text


def test_a_reply_hangs_on_its_request_and_its_seed_alone(folder: Path) -> None:
    chat = build_chat({"type": "transformers", "model": str(folder), "device": "cpu", "concurrency": 4})
    assert isinstance(chat, TransformersChat) and build_chat(chat.to_config()) == chat

    async def many() -> list[str]:
        requests = [asked(seed) for seed in range(6)] + [asked(3, "What is it?"), asked(temperature=0.0), asked(0)]
        found = await asyncio.gather(*(outcome(chat, one) for one in requests))
        await chat.close()
        return found

    first, alone = asyncio.run(many()), asyncio.run(outcome(chat, asked(3)))  # another loop, after a close
    assert alone == first[3] and first[8] == first[0] and len(set(first[:6])) > 1
    assert asyncio.run(outcome(chat, asked(temperature=0.0, seed=9))) == first[7]  # greedy draws nothing
    copy = pickle.loads(pickle.dumps(chat))
    assert asyncio.run(outcome(copy, asked(3))) == alone
    for one in (chat, copy):
        asyncio.run(one.close())


def test_what_a_model_cannot_take_or_did_not_finish_is_said(folder: Path) -> None:
    chat = TransformersChat(str(folder), device="cpu")

    async def check() -> None:
        with pytest.raises(ChatRefused, match="do not fit its context of 128"):
            await chat.complete(asked(max_tokens=128))
        with pytest.raises(ChatBadReply, match="cut off at 1 tokens") as cut:
            await chat.complete(asked(max_tokens=1))
        assert cut.value.why == "length"
        await chat.close()

    asyncio.run(check())
    with pytest.raises(ChatTimedOut, match="no whole reply"):
        asyncio.run(TransformersChat(str(folder), device="cpu", timeout=1e-6).complete(asked()))
    with pytest.raises(ChatUnavailable, match="no model at"):
        asyncio.run(TransformersChat(str(folder / "none")).complete(asked()))
    for knobs in ({"model": ""}, {"timeout": 0}, {"dtype": "int4"}, {"device": "abacus"}):
        with pytest.raises(RecipeError):
            TransformersChat(**{"model": str(folder), **knobs})  # type: ignore[arg-type]


def test_a_schema_is_checked_after_and_never_assumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "required": ["verdict"], "properties": {"verdict": {"enum": ["yes", "no"]}}}
    chat = TransformersChat(str(folder), device="cpu")
    texts = iter(['{"verdict": "yes"}', '{"verdict": "perhaps"}', "yes"])
    monkeypatch.setattr(Policy, "decode", lambda self, ids: next(texts))
    monkeypatch.setattr(Policy, "stop_ids", tuple(range(300)))  # each reply is one token long

    async def check() -> None:
        assert (await chat.complete(asked(json_schema=schema))).text == '{"verdict": "yes"}'
        for _ in range(2):
            with pytest.raises(ChatBadReply) as broken:
                await chat.complete(asked(json_schema=schema))
            assert broken.value.why == "schema"
        await chat.close()

    asyncio.run(check())


def test_it_can_be_cached_and_other_weights_are_another_model(folder: Path, tmp_path: Path) -> None:
    chat = TransformersChat(str(folder), device="cpu")
    assert chat.fingerprint() != TransformersChat(str(folder), dtype="bfloat16").fingerprint()
    assert chat.fingerprint() == TransformersChat(str(folder), concurrency=1).fingerprint()
    cached = CachedChat(chat, tmp_path / "cache.sqlite")

    async def twice() -> list[ChatReply]:
        for seed in range(40):
            try:
                return [await cached.complete(asked(seed, max_tokens=100)) for _ in range(2)]
            except ChatBadReply:
                continue
        pytest.fail("no seed gave a whole reply")

    first, again = asyncio.run(twice())
    assert again.cached and not first.cached and again.text == first.text and first.completion_tokens > 0
    asyncio.run(cached.close())
