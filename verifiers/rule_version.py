"""The version of the rules: a digest of the code that their verdicts come from.

A number that somebody must raise is forgotten, and a card of older rules would count for newer ones. What rules read
beside their code, vocabularies, has a digest of its own (`data_digest`). Judges and classifiers are not in it: their
verdicts hang on prompts and weights, and what was paid for stays valid when a rule changes.
"""

import hashlib
from functools import cache
from importlib.resources import files

from medrl import __version__

# Modules of `medrl.verifiers` that no rule's verdict depends on.
NO_RULES = frozenset(
    "__init__ cascade cascade_counts chat_judge classifier classifier_layout classifier_model frames isolated judge_prompt "
    "judge_self_test judge_votes pass_rate protocol reliability similarity vocabulary_faults worker worker_pool "
    "worker_process".split()
)


@cache
def rule_version() -> str:
    """12 hex digits over the sources of all rules, read once in a process, also out of a zip; a comment counts too."""
    found = hashlib.sha256()
    for file in sorted(files("medrl.verifiers").iterdir(), key=lambda one: one.name):
        name, _, suffix = file.name.rpartition(".")
        if suffix == "py" and name not in NO_RULES:
            found.update(f"{name}\n".encode() + file.read_bytes().replace(b"\r\n", b"\n"))
    if found.digest() == hashlib.sha256().digest():  # installed without sources
        found.update(__version__.encode())
    return found.hexdigest()[:12]


class RuleVersion:
    """The class attribute `version` of rules: worked out when it is first read, since start-up must not wait for it."""

    def __get__(self, instance: object, owner: type) -> str:
        return rule_version()
