"""Rewards and verifiers that recipes of these tests name as `rewards_of_tests:attribute`."""

import math

from medrl.rewards import reward
from medrl.types import Problem, Response
from medrl.verifiers import verifier


def _letters(text: str) -> int:
    return sum(one.isascii() and one.isalpha() for one in text)


@verifier("even_letters")
def even_letters(problem: Problem, text: str) -> bool:
    return _letters(text) % 2 == 0


@reward("letters")
def letters(problem: Problem, response: Response) -> float:
    return _letters(response.text) / max(len(response.text), 1)


@reward("constant")
def constant(problem: Problem, response: Response) -> float:
    return 0.25


@reward("raises")
def raises(problem: Problem, response: Response) -> float:
    raise ConnectionError("the judge is down")


@reward("not_a_number")
def not_a_number(problem: Problem, response: Response) -> float:
    return math.nan


@reward("raises_for_even")
def raises_for_even(problem: Problem, response: Response) -> float:
    if _letters(response.text) % 2 == 0:
        raise ConnectionError("the judge is down")
    return letters(problem, response) or 0.0
