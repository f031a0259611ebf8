"""Patterns that are looked for only where a word stands that they need find what they would find anyway."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import medrl.verifiers
from medrl.data import load_responses
from medrl.verifiers.patterns import Opening, Pattern, beginnings, needed


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("not here", {"not here"}),
        (r"\b(?:not|never)\b", {"not", "never"}),
        (r"(?:no|not) (?:a|an) dose", {" dose"}),
        ("(?:accept|grade) (?:this|the) answer", {"accept", "grade"}),  # the other word is in most texts
        (r"(?:very )?unlikely", {"unlikely"}),
        (r"(?:un)?likely|unlikely", {"likely"}),
        (r"[大小]于", {"于"}),
        (r"(?i:Not)", {"not"}),
        (r"X+", {"x"}),
        (r"(?<=because )it", {"it"}),
        (r"\d+", None),
        (r"a?", None),
        (r"not|\d", None),
        (r"[^a]", None),
    ],
)
def test_the_words_are_read_off_the_pattern(pattern: str, words: set[str] | None) -> None:
    assert needed(pattern) == words


def test_a_pattern_that_needs_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="serves it as well"):
        Pattern(r"\d+")


@pytest.mark.parametrize(
    ("pattern", "begins"),
    [
        ("not here", {"not"}),
        ("(?:an?|the) ", {"a ", "an ", "the"}),
        ("(?:very )?likely|是", {"ver", "lik", "是"}),
        (r"\b(?=.)no\d", {"no"}),
        ("[,;]? but", {", b", "; b", " bu"}),
        ("ab{1,3}c", {"ab"}),
        (r"\d+", set()),
        ("x?", set()),
    ],
)
def test_beginnings_are_read_off_the_pattern(pattern: str, begins: set[str]) -> None:
    assert beginnings(pattern) == begins


def test_an_opening_that_may_be_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="serves it as well"):
        Opening(r"\w+ is")


def test_capitals_and_other_forms_of_letters_are_seen() -> None:
    pattern = Pattern("kiss|straße", re.IGNORECASE)
    # The sign of kelvin, the long s, and the Turkish letters, which re takes for an i.
    for text in ("KISS", "\u212ai\u017fs", "STRASSE", "Straße", "k\u0130ss", "k\u0131ss"):
        assert pattern.compiled.search(text) is None or pattern.search(text)
        assert pattern.compiled.match(text) is None or Opening(pattern.pattern, re.IGNORECASE).match(text)


def _patterns() -> Iterator[tuple[str, Pattern | Opening]]:
    for module in pkgutil.iter_modules(medrl.verifiers.__path__):
        found = importlib.import_module(f"medrl.verifiers.{module.name}")
        for name, value in vars(found).items():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Pattern | Opening):
                    yield f"{module.name}.{name}", one


def test_no_pattern_of_the_rules_misses_what_it_would_find() -> None:
    folder = Path(medrl.data.__file__).parent / "cases"
    pairs = [pair for path in sorted(folder.glob("*.jsonl")) for pair in load_responses(path)]
    texts = {text for problem, response in pairs for text in (problem.question, response.text, str(problem.reference))}
    patterns = dict(_patterns())
    assert len(patterns) > 20
    found = 0
    for name, pattern in patterns.items():
        for text in texts:
            if pattern.compiled.search(text) if isinstance(pattern, Pattern) else pattern.compiled.match(text):
                found += 1
                assert pattern.may_match(text), (name, text)
    assert found > 1000
