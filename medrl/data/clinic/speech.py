"""How patients, doctors and assistants talk in the clinic's consultations: `speech_en.jsonl` and `speech_zh.jsonl`.

One piece a line, what one speaker says at one point, with the wordings of training and those that are held out; no sentence
is in both. Blanks such as `{finding}` are filled from the tables. Written for this project; no text was taken from a real
consultation.
"""

import json
import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from medrl.data.clinic.templates import article, capital, listing
from medrl.errors import DataError

SHARED = ("duration", "sex.")  # pieces that are words rather than wordings, the same on both sides
_ENDS = "。？！：，\n"


@dataclass(frozen=True)
class Piece:
    """The wordings of one piece; "" says nothing."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def blanks(self) -> set[str]:
        return {
            name for text in (*self.train, *self.held_out) for _, name, _, _ in string.Formatter().parse(text) if name
        }


@lru_cache(maxsize=2)
def pieces(language: str) -> Mapping[str, Piece]:
    """Every piece of a language by name.

    Raises:
        DataError: A line of the file is broken, or a wording is on both sides.
    """
    file = f"speech_{language}.jsonl"
    found: dict[str, Piece] = {}
    for number, line in enumerate((files("medrl.data.clinic") / file).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, made = str(row["piece"]), Piece(tuple(map(str, row["train"])), tuple(map(str, row["held_out"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} line {number}: {type(error).__name__} {error}") from error
        both = (set(made.train) & set(made.held_out)) - {""}
        if name in found or not made.train or not made.held_out or (both and not name.startswith(SHARED)):
            raise DataError(f"{file} line {number}: {name!r} occurs twice, is empty, or has a wording on both sides")
        found[name] = made
    return found


@dataclass(frozen=True)
class Speech:
    """The wording of one side of the split in one language, drawn with one source of randomness."""

    language: str
    held_out: bool
    rng: random.Random

    def say(self, piece: str, **blanks: object) -> str:
        """A wording of a piece with its blanks filled."""
        known = pieces(self.language)[piece]
        text = self.rng.choice(known.held_out if self.held_out else known.train).format(**blanks)
        return article(capital(text)) if self.language == "en" else text

    def word(self, piece: str) -> str:
        """A word of a piece as it is, for a blank."""
        return self.rng.choice(pieces(self.language)[piece].train)

    def join(self, sentences: Sequence[str]) -> str:
        """The sentences as one turn; in Chinese those without an end are parted by a comma, as people type."""
        given = [one for one in sentences if one]
        if self.language == "en":
            return " ".join(given)
        last = len(given) - 1
        return "".join(one if one[-1] in _ENDS or at == last else f"{one}，" for at, one in enumerate(given))

    def listing(self, names: Sequence[str]) -> str:
        return listing(list(names), self.language)
