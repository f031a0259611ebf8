"""The first reply that can be read: whoever asks a chat model for something strict may have to ask again.

Where no try could be read, a cache keeps none of their replies, so that the next time asks the model and not its old fault.
Unreadable replies before a readable one stay: a run that is resumed meets the same replies as the one that was killed.
"""

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
    before: int = 0,
    kept: int = 0,
    heard: Callable[[ChatReply], None] | None = None,
) -> Found:
    """What the first reply says that `read` takes.

    Args:
        chat: Who is asked.
        request: What is sent in try 0, 1, ...; each with a seed of its own, or a cache gives the same reply again.
        read: What a reply says; raises ChatBadReply where it is not what was asked for.
        tries: How many replies may be unreadable.
        before: So many tries earlier starts had, where there were any. What a cache kept of them is looked at first and takes
            no try. Then try 0 is sent again, as another request may have been at fault, and `tries` with new seeds.
        kept: So many unreadable replies of a cache, which an earlier start was told, take no try; the cache keeps those of
            this start too, to be passed over by the next, which then asks with new seeds.
        heard: Called with every reply, for the bill.

    Raises:
        ChatBadReply: No reply could be read; the last one's fault.
        ChatError: There was none.
    """
    unreadable: ChatBadReply | None = None
    said: list[tuple[ChatRequest, str]] = []
    again = range(min(before, 1))
    left = len(again) + tries
    for place, number in enumerate([*range(before), *again, *range(before, before + tries + kept)]):
        free, asked = place < before, request(number)
        try:
            reply = await chat.kept(asked) if free else await chat.complete(asked)
            if reply is None:
                continue
            free = free or (reply.cached and kept > 0)
            said.append((asked, reply.text))
            if heard is not None:
                heard(reply)
            return read(reply.text)
        except ChatBadReply as error:
            unreadable = error
        left -= not free
        if not left:
            break
    for asked, text in said if not kept else ():
        await chat.forget(asked, text)
    raise unreadable or ChatBadReply("nothing was asked")
