"""Patterns that are looked for only where a word stands that they need find what they would find anyway."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import medrl.verifiers
from medrl.data import load_responses
from medrl.verifiers.patterns import Pattern, needed


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("not here", {"not here"}),
        (r"\b(?:not|never)\b", {"not", "never"}),
        (r"(?:no|not) (?:a|an) answer", {" answer"}),
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


def test_capitals_and_other_forms_of_letters_are_seen() -> None:
    pattern = Pattern("kiss|straße", re.IGNORECASE)
    # The sign of kelvin, the long s, and the Turkish letters, which re takes for an i.
    for text in ("KISS", "\u212ai\u017fs", "STRASSE", "Straße", "k\u0130ss", "k\u0131ss"):
        assert pattern.compiled.search(text) is None or pattern.search(text)


def _patterns() -> Iterator[tuple[str, Pattern]]:
    for module in pkgutil.iter_modules(medrl.verifiers.__path__):
        found = importlib.import_module(f"medrl.verifiers.{module.name}")
        for name, value in vars(found).items():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Pattern):
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
            if pattern.compiled.search(text):
                found += 1
                assert pattern.search(text), (name, text)
    assert found > 1000
