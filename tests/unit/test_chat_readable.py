"""Asking until a reply can be read: how often, who pays, and what a cache's replies count."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medrl.chat.base import ChatBadReply, ChatClient, ChatReply, ChatRequest, ChatUnavailable, Message
from medrl.chat.cache import CachedChat
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


def asked(client: ChatClient, tries: int, kept: int = 0, before: int = 0) -> tuple[int, list[str]]:
    bill: list[str] = []

    def request(one: int) -> ChatRequest:
        return ChatRequest((Message("user", "How many?"),), 8, 0.0, one)

    def heard(reply: ChatReply) -> None:
        bill.append(reply.text)

    return asyncio.run(
        first_readable(client, request, number, tries=tries, before=before, kept=kept, heard=heard)
    ), bill


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


def test_each_start_pays_for_its_own_tries_and_finds_what_the_cache_kept(tmp_path: Path) -> None:
    never = Says(["many"] * 15)
    cached = CachedChat(never, tmp_path / "chat.sqlite")
    for start in range(4):
        with pytest.raises(ChatBadReply):
            asked(cached, tries=3, before=3 * start)
        assert len(never.heard) == 3 + 4 * start  # never more: the first again, and three new ones
    assert len({one.seed for one in never.heard}) == 12
    paid = Says(["many", "7"])
    cached = CachedChat(paid, tmp_path / "other.sqlite")
    for start in range(3):  # another call of the row failed in the first two
        assert asked(cached, tries=3, before=3 * start)[0] == 7
    assert len(paid.heard) == 2


def test_an_error_that_is_no_reply_is_no_try() -> None:
    client = Says(["many", ChatUnavailable("no route"), "7"])
    with pytest.raises(ChatUnavailable):
        asked(client, tries=5)
