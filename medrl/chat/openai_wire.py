"""The OpenAI chat format: a `ChatRequest` as the body of an HTTP request, and the body of a response as a `ChatReply`.

Reading is strict. A body that is not whole, a reply that was cut off or filtered, and one that is not what was asked
for become a `Fault`; nothing is guessed, for a guess would be a verdict that no judge gave.
"""

import json
from collections.abc import Mapping
from typing import Any

from medrl.chat.base import ChatBadReply, ChatReply, ChatRequest
from medrl.chat.retry import Fault
from medrl.chat.schema import breach

WHOLE = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
"""Finish reasons of a reply that its model ended; the first is OpenAI's, the others are of compatible servers."""
BROKEN_OFF = frozenset({"abort", "error"})
"""Those of a reply that the server gave up."""


def body_of(request: ChatRequest, model: str, structured: bool, limit: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object to send; `extra` overrides."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": one.role, "content": sendable(one.content)} for one in request.messages],
        limit: request.max_tokens,
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if structured and request.json_schema is not None:
        schema = {"name": "reply", "schema": dict(request.json_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {**body, **extra}


def sendable(text: str) -> str:
    """`text` as UTF-8 can carry it: a policy may write half of a surrogate pair, and must not gain by that."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def most_tokens(request: ChatRequest) -> int:
    """More tokens than a request can take: no token is shorter than a byte, and a chat template adds some per turn."""
    return request.max_tokens + sum(len(one.content.encode("utf-8", "replace")) + 16 for one in request.messages)


def read_reply(content: bytes, request: ChatRequest, model: str, structured: bool) -> ChatReply | Fault:
    """What the body of a response with status 200 says."""
    if not content.strip():
        return _garbled("the body is empty")
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:  # ValueError is that of JSON and that of UTF-8
        return _garbled(f"the body is not JSON ({error}): {content[:80]!r}")
    choices = row.get("choices") if isinstance(row, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return _garbled(f"the body holds no choice with a message: {content[:80]!r}")
    usage = row.get("usage")
    read, wrote = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    tokens = read + wrote or None
    fault = _unusable(choice, request, structured)
    if fault is not None:
        name, message = fault
        broken = name in BROKEN_OFF
        text = choice["message"].get("content")
        said = text if isinstance(text, str) else ""
        return Fault(name, ChatBadReply, message, again=broken, down=broken, tokens=tokens, text=said)
    named = row.get("model")
    return ChatReply(choice["message"]["content"], named if isinstance(named, str) and named else model, read, wrote)


def _unusable(choice: Mapping[str, Any], request: ChatRequest, structured: bool) -> tuple[str, str] | None:
    """A name and a sentence for what is wrong with a choice; None where nothing is."""
    reason, message = choice.get("finish_reason"), choice["message"]
    text = message.get("content")
    if reason == "length":
        return "length", f"the reply was cut off at {request.max_tokens} tokens; raise max_tokens"
    if reason == "content_filter":
        return "content_filter", "the server's content filter cut the reply"
    if reason in BROKEN_OFF:
        return reason, f"the server gave the reply up ({reason})"
    if message.get("refusal"):
        return "refusal", f"the model refused: {str(message['refusal'])[:200]!r}"
    if not isinstance(text, str) or not text.strip():
        hidden = " although it wrote reasoning; raise max_tokens or switch thinking off"
        reasoned = message.get("reasoning_content") or message.get("reasoning")
        return "empty", f"the reply is empty{hidden if reasoned else ''} (finish_reason {reason!r})"
    if reason not in WHOLE:
        return "unfinished", f"the reply has finish_reason {reason!r}, so nobody knows whether it is whole"
    if structured and request.json_schema is not None:
        try:
            wrong = breach(json.loads(text), request.json_schema)
        except (ValueError, RecursionError) as error:
            wrong = f"it is not JSON ({error}): {text[:80]!r}"
        if wrong:
            return "schema", f"the reply does not keep the schema that it was asked for: {wrong}"
    return None


def _garbled(message: str) -> Fault:
    return Fault("garbled", ChatBadReply, message, again=True, down=True, tokens=None)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
