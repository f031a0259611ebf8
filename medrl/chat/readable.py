"""The first reply that can be read: whoever asks a chat model for something strict may have to ask again."""

from collections.abc import Callable
from typing import TypeVar

from medrl.chat.base import ChatBadReply, ChatClient, ChatReply, ChatRequest

Found = TypeVar("Found")
MOST_KEPT = 60  # unreadable replies of earlier starts that a cache may hold


async def first_readable(
    chat: ChatClient,
    request: Callable[[int], ChatRequest],
    read: Callable[[str], Found],
    *,
    tries: int,
    kept: int = 0,
    heard: Callable[[ChatReply], None] | None = None,
) -> Found:
    """What the first reply says that `read` takes.

    Args:
        chat: Who is asked.
        request: What is sent in try 0, 1, ...; each with a seed of its own, or a cache gives the same reply again.
        read: What a reply says; raises ChatBadReply where it is not what was asked for.
        tries: How many replies may be unreadable.
        kept: So many unreadable replies of a cache, which an earlier start was told, take no try.
        heard: Called with every reply, for the bill.

    Raises:
        ChatBadReply: No reply could be read; the last one's fault.
        ChatError: There was none.
    """
    unreadable: ChatBadReply | None = None
    left = tries
    for number in range(tries + kept):
        free = False
        try:
            reply = await chat.complete(request(number))
            free = reply.cached and kept > 0
            if heard is not None:
                heard(reply)
            return read(reply.text)
        except ChatBadReply as error:
            unreadable = error
        left -= not free
        if not left:
            break
    raise unreadable or ChatBadReply("nothing was asked")
