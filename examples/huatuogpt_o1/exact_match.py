"""Exact match as a verifier: what HuatuoGPT-o1 (arXiv 2412.18925, figure 4) shows to be too little. A plugin by path.

It reads a wording: "It is pneumonia." is wrong where the reference is "pneumonia", and so is every synonym.
"""

from medrl.types import Problem
from medrl.verifiers import verifier
from medrl.verifiers.extract import sections


@verifier("exact_match")
def exact_match(problem: Problem, text: str) -> bool:
    """Whether the final response is the reference, letter for letter but for case."""
    return sections(text).answer.strip().casefold() == str(problem.reference).strip().casefold()
