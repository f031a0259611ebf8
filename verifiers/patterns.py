"""Regular expressions that are looked for only where a word stands that each of their matches must hold.

A search with forty alternatives tries them at every word of a text, and nearly always for nothing: few answers retract, hedge
or speak to their grader. Whether one of a few words stands in a text is told twenty times faster; so is, of an expression
for the beginning of a text, whether the text has one of its first letters. Both are read off the expression itself (as
ripgrep and RE2 do), so the two cannot part.
"""

import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_MOST = 64  # words to look for; beyond, the search itself is as quick
_FIRST = 3  # letters of a beginning that are looked at
_OFTEN = frozenset(("", "answer", "diagnosis", "response"))  # these and spaces are in most answers
_Needed = frozenset[str] | None


class Pattern:
    """A compiled expression as `re.Pattern` has it, with the words of which each of its matches holds one."""

    __slots__ = ("compiled", "has_word", "latin", "pattern")

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self.compiled = re.compile(pattern, flags)
        words = needed(pattern, flags)
        if words is None or len(words) > _MOST:
            raise ValueError(f"no few words are needed for {pattern!r:.60}: `re.compile` serves it as well")
        self.latin = tuple(sorted(word for word in words if word.isascii()))
        # Twice as quick as one word after the other in a Chinese text, and half as quick in an English one.
        self.has_word = re.compile("|".join(map(re.escape, sorted(words))))

    def may_match(self, text: str) -> bool:
        """Whether a word stands in the text without which nothing matches."""
        text = text.casefold()
        if not text.isascii():
            text = text.replace("i\u0307", "i").replace("\u0131", "i")  # re takes the Turkish letters for an i
            return self.has_word.search(text) is not None
        for word in self.latin:  # noqa: SIM110 - as `any` of a generator it takes twice as long
            if word in text:
                return True
        return False

    def search(self, text: str, *within: int) -> re.Match[str] | None:
        return self.compiled.search(text, *within) if self.may_match(text[slice(*within)] if within else text) else None

    def match(self, text: str, *within: int) -> re.Match[str] | None:
        return self.compiled.match(text, *within) if self.may_match(text) else None

    def fullmatch(self, text: str, *within: int) -> re.Match[str] | None:
        return self.compiled.fullmatch(text, *within) if self.may_match(text) else None

    def finditer(self, text: str, *within: int) -> Iterator[re.Match[str]]:
        may = self.may_match(text[slice(*within)] if within else text)  # "final" of a heading is not in the answer
        return self.compiled.finditer(text, *within) if may else iter(())

    def split(self, text: str, maxsplit: int = 0) -> list[str]:
        return self.compiled.split(text, maxsplit) if self.may_match(text) else [text]

    def sub(self, repl: str | Callable[[re.Match[str]], str], text: str) -> str:
        return self.compiled.sub(repl, text) if self.may_match(text) else text


class Opening:
    """A compiled expression with many alternatives for what a text begins with, and the first letters of each."""

    __slots__ = ("begins", "compiled", "pattern")

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self.compiled = re.compile(pattern, flags)
        self.begins = beginnings(pattern, flags)
        if not self.begins:
            raise ValueError(f"{pattern!r:.60} may begin with anything: `re.compile` serves it as well")

    def may_match(self, text: str) -> bool:
        """Whether the text begins as a match may begin."""
        start = text[:_FIRST].casefold()
        if not start.isascii():
            start = start.replace("i\u0307", "i").replace("\u0131", "i")[:_FIRST]  # as in `Pattern`
        return start in self.begins or start[:2] in self.begins or start[:1] in self.begins

    def match(self, text: str) -> re.Match[str] | None:
        return self.compiled.match(text) if self.may_match(text) else None

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self.compiled.fullmatch(text) if self.may_match(text) else None


def beginnings(pattern: str, flags: int = 0) -> frozenset[str]:
    """Every way in which a match can begin, small, of up to three letters; none where it may begin with anything."""
    found = frozenset(text for text, _ in _begun(parser.parse(pattern, flags)))
    return frozenset() if "" in found else found


def _begun(items: Sequence[tuple[Any, Any]]) -> set[tuple[str, bool]]:
    """How the matches of a sequence begin, and of each whether it is long enough, or anything may follow."""
    found = {("", False)}
    for code, value in items:
        item = _begun_by(code, value)
        longer = {(begin + more, done) for begin, ends in found if not ends for more, done in item}
        found = {one for one in found if one[1]} | {
            (text[:_FIRST], done or len(text) >= _FIRST) for text, done in longer
        }
        if all(done for _, done in found):
            break
    return found


def _begun_by(code: Any, value: Any) -> set[tuple[str, bool]]:
    if code is op.LITERAL:
        return {(chr(value).casefold(), False)}
    if code is op.IN and all(kind is op.LITERAL for kind, _ in value):
        return {(chr(character).casefold(), False) for _, character in value}
    if code is op.SUBPATTERN:
        return _begun(value[3])
    if code is op.BRANCH:
        return set().union(*map(_begun, value[1]))
    if code in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return {("", False)}  # they only say where it may stand
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, inside = value
        begun = _begun(inside) if most == 1 else {(text, True) for text, _ in _begun(inside)}
        return begun if least else begun | {("", False)}
    return {("", True)}


def needed(pattern: str, flags: int = 0) -> _Needed:
    """Words, small, of which every match of an expression holds one; None where there are no such words."""
    words = _of_sequence(parser.parse(pattern, flags))
    if words is None:
        return None
    return frozenset(word for word in words if not any(other in word for other in words if other != word))


def _of_sequence(items: Sequence[tuple[Any, Any]]) -> _Needed:
    """The best of what the items of a sequence need; neighbouring characters make one word."""
    choices: list[frozenset[str]] = []
    run = ""
    for code, value in items:
        if code is op.LITERAL:
            run += chr(value)
            continue
        if run and code is op.BRANCH:  # the parser writes "not|never" as n(?:ot|ever)
            whole = [_of_sequence([*((op.LITERAL, ord(letter)) for letter in run), *branch]) for branch in value[1]]
            run = ""
            choices.append(frozenset().union(*filter(None, whole)))
            continue
        if run:
            choices.append(frozenset((run.casefold(),)))
            run = ""
        inner = _of_item(code, value)
        if inner:
            choices.append(inner)
    if run:
        choices.append(frozenset((run.casefold(),)))
    return max(choices, key=_worth, default=None)


def _of_item(code: Any, value: Any) -> _Needed:
    if code is op.SUBPATTERN:
        return _of_sequence(value[3])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return _of_sequence(value[2]) if value[0] else None
    if code is op.ATOMIC_GROUP:
        return _of_sequence(value)
    if code is op.IN and all(kind is op.LITERAL for kind, _ in value):
        return frozenset(chr(character).casefold() for _, character in value)
    if code is op.BRANCH:
        branches = [_of_sequence(branch) for branch in value[1]]
        return None if None in branches else frozenset().union(*(branch for branch in branches if branch))
    return None


def _worth(words: frozenset[str]) -> tuple[bool, int, int]:
    """Few words, and long ones, are seldom in a text."""
    return len(words) <= _MOST, min(0 if word.strip() in _OFTEN else min(6, len(word)) for word in words), -len(words)
