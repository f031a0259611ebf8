"""The queue of the reward service: requests cut into pieces, and pieces dealt out so that each request has its turn."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from medrl.services.lines import ScoredLine
from medrl.types import Group

PIECE = 32  # responses in a piece of work, where groups are smaller; a group is never cut


@dataclass(eq=False)
class Piece:
    """Some whole groups of one request."""

    owner: object
    groups: Sequence[Group]
    step: int
    parts: bool
    lines: "asyncio.Future[list[ScoredLine]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    crashes: int = 0  # workers that ended while they held it
    began: float | None = (
        None  # when work on it began, or when it was put back for want of a worker; by the loop's clock
    )

    @property
    def responses(self) -> int:
        return sum(map(len, self.groups))


def cut(groups: Sequence[Group], owner: object, step: int, parts: bool) -> list[Piece]:
    """Pieces of about `PIECE` responses, in order. Trees score group by group, so where it is cut changes no score."""
    pieces: list[Piece] = []
    start = size = 0
    for end, group in enumerate(groups):
        if size and size + len(group) > PIECE:
            pieces.append(Piece(owner, groups[start:end], step, parts))
            start, size = end, 0
        size += len(group)
    return [*pieces, Piece(owner, groups[start:], step, parts)] if groups[start:] else pieces


class Turns:
    """Pieces that wait. Requests take turns, so that a large one does not hold up the small ones behind it."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, deque[Piece]] = OrderedDict()
        self._arrived = asyncio.Condition()

    def __len__(self) -> int:
        return sum(not piece.lines.done() for pieces in self._waiting.values() for piece in pieces)

    async def put(self, pieces: Sequence[Piece], *, first: bool = False) -> None:
        """Let pieces wait; `first` before all others, as what has been begun once."""
        async with self._arrived:
            for piece in pieces:
                line = self._waiting.setdefault(piece.owner, deque())
                if first:
                    line.appendleft(piece)
                    self._waiting.move_to_end(piece.owner, last=False)
                else:
                    line.append(piece)
            self._arrived.notify_all()

    async def take(self) -> Piece:
        """The next piece that somebody still waits for."""
        async with self._arrived:
            while True:
                while self._waiting:
                    owner, line = next(iter(self._waiting.items()))
                    piece = line.popleft()
                    if line:
                        self._waiting.move_to_end(owner)
                    else:
                        del self._waiting[owner]
                    if not piece.lines.done():
                        return piece
                await self._arrived.wait()
