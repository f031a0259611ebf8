"""Asking until a reply can be read: how often, who pays, and what a cache's replies count."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from medrl.chat.base import ChatBadReply, ChatClient, ChatReply, ChatRequest, ChatUnavailable, Message
from medrl.chat.readable import first_readable


@dataclass(frozen=True)
class Says(ChatClient):
    """Says these in turn; "cached: x" is x from a cache, and what is an error is raised."""

    replies: Sequence[str | Exception]
    heard: list[ChatRequest] = field(default_factory=list)
    model: str = "says"

    def fingerprint(self) -> str:
        return "0" * 16

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.heard.append(request)
        reply = self.replies[len(self.heard) - 1]
        if isinstance(reply, Exception):
            raise reply
        return ChatReply(reply.removeprefix("cached: "), "says", 1, 1, cached=reply.startswith("cached: "))


def number(text: str) -> int:
    if not text.isdigit():
        raise ChatBadReply(f"{text!r} is no number")
    return int(text)


def asked(client: Says, tries: int, kept: int = 0) -> tuple[int, list[str]]:
    bill: list[str] = []

    def request(one: int) -> ChatRequest:
        return ChatRequest((Message("user", "How many?"),), 8, 0.0, one)

    def heard(reply: ChatReply) -> None:
        bill.append(reply.text)

    return asyncio.run(first_readable(client, request, number, tries=tries, kept=kept, heard=heard)), bill


def test_the_first_reply_that_can_be_read_counts_and_each_is_billed() -> None:
    client = Says(["many", ChatBadReply("cut off"), "7", "8"])
    assert asked(client, tries=3) == (7, ["many", "7"])
    assert [one.seed for one in client.heard] == [0, 1, 2]


def test_after_the_last_try_its_fault_is_raised() -> None:
    client = Says(["many", "few", "7"])
    with pytest.raises(ChatBadReply, match="'few' is no number"):
        asked(client, tries=2)
    assert len(client.heard) == 2


def test_what_a_cache_kept_of_an_earlier_start_takes_no_try_where_it_is_to_be_free() -> None:
    replies = ["cached: many", "cached: few", "lots", "7"]
    assert asked(Says(replies), tries=2, kept=5)[0] == 7
    with pytest.raises(ChatBadReply, match="'few' is no number"):
        asked(Says(replies), tries=2)
    with pytest.raises(ChatBadReply, match="'few' is no number"):  # a cache may hold no more than it is said to
        asked(Says(["cached: many", "cached: few", "7"]), tries=1, kept=1)


def test_an_error_that_is_no_reply_is_no_try() -> None:
    client = Says(["many", ChatUnavailable("no route"), "7"])
    with pytest.raises(ChatUnavailable):
        asked(client, tries=5)
