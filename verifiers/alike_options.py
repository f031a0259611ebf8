"""Options that compare as equal although they are not: `CO*SVR` and `CO/SVR`, the genotypes `AA`, `Aa` and `aa`.

Options are compared without their case, signs and spacing. Where that leaves nothing between two of them, each is written as
a word of its own, in the options and in the answer, before anything is read. What is written otherwise than all of them
then names none.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from medrl.verifiers.choice_labels import tidy
from medrl.verifiers.normalise import normal

_SIGNS = ("*×·⋅∙∗•", "/÷∕⁄", "-−–—‐‑")
_SIGN_OF = {sign: f"[{re.escape(signs)}]" for signs in _SIGNS for sign in signs}
_PLAIN = str.maketrans({sign: signs[0] for signs in _SIGNS for sign in signs})
_AROUND = re.compile(r" ?([^\w\s]) ?")
# An operand more on either side makes another formula of it.
_BEFORE, _BEHIND = r"(?<![\w*/+^-])(?<![*/+^] )", r"(?![\w*/+^]|-\w| [*/+^=-] ?\w)"


def tell_apart(options: Mapping[str, str]) -> tuple[Mapping[str, str], Callable[[str], str] | None]:
    """The options with those that compare as equal as words of their own, and what writes a text so; None where none do."""
    words, pattern = _words(tuple(options.items()))
    if pattern is None:
        return options, None
    found = pattern

    def rewritten(text: str) -> str:
        return found.sub(lambda match: words[match.lastgroup or ""], tidy(text))

    return {label: rewritten(text) for label, text in options.items()}, rewritten


@lru_cache(maxsize=1024)  # the options come again with every response to their problem
def _words(options: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], re.Pattern[str] | None]:
    """The word for each option that is told apart, by the group of the pattern that finds it."""
    alike: dict[str, dict[str, str]] = {}
    labels = {label for label, _ in options}
    for place, (_, text) in enumerate(options):
        alike.setdefault(normal(text.translate(_PLAIN)), {})[f"at{place}"] = _squeezed(text)
    patterns: dict[str, str] = {}
    for group in alike.values():
        if (
            len(group) < 2
            or len(set(group.values())) < len(group)
            or any(text.upper() in labels for text in group.values())
        ):
            continue  # nothing to tell apart, or nothing that could
        folded = len({text.casefold() for text in group.values()}) == len(group)
        patterns |= {name: f"(?{'i' * folded}:{_pattern(text)})" for name, text in group.items()}
    if not patterns:
        return {}, None
    longest = sorted(patterns, key=lambda name: -len(patterns[name]))
    whole = "|".join(f"(?P<{name}>{patterns[name]})" for name in longest)
    words = {name: f"qz{chr(ord('a') + int(name[2:]) % 26) * 3}{'q' * (int(name[2:]) // 26)}" for name in patterns}
    return words, re.compile(f"{_BEFORE}(?:{whole}){_BEHIND}")


def _squeezed(text: str) -> str:
    """A text with one sign for each operation, and without blanks around signs."""
    return _AROUND.sub(r"\1", " ".join(tidy(text).translate(_PLAIN).split())).rstrip(".。")


def _pattern(text: str) -> str:
    return "".join(
        r"\s{1,3}" if one == " " else re.escape(one) if one.isalnum() else f" ?{_SIGN_OF.get(one, re.escape(one))} ?"
        for one in text
    )
