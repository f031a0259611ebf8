"""Say, before a policy is trained, which verifiers of its reward were never measured (`medrl card`).

What a verifier wrongly accepts is what a policy in training finds, so a reward whose verifier has no card pays for
nobody knows what. This only warns: a card costs labelled answers, and a first try need not wait for them.
"""

import json
import shlex
from dataclasses import fields, is_dataclass
from typing import Any

from medrl.data import verifier_cards
from medrl.rewards import Reward
from medrl.verifiers import Verifier


def card_warnings(reward: Reward) -> list[str]:
    """One warning for each distinct verifier of the tree without a card of its own."""
    seen: set[str] = set()
    warnings: list[str] = []
    for node, verifier in reward.verifiers():
        warning = _warning(node, verifier)
        if warning and warning not in seen:
            seen.add(warning)
            warnings.append(warning)
    return warnings


def command(verifier: Verifier) -> str:
    """The command that measures this verifier; knobs at their defaults are left out."""
    try:
        config = verifier.to_config()
        defaults: dict[str, Any] = {f.name: f.default for f in fields(verifier)} if is_dataclass(verifier) else {}
        told = {
            k: v for k, v in config.items() if k == "type" or k not in defaults or defaults[k] != getattr(verifier, k)
        }
        text = str(config["type"]) if len(told) == 1 else json.dumps(told, ensure_ascii=False)
    except Exception:  # made by hand of what no config can hold
        text = "MODULE:VERIFIER"
    return f"medrl card {shlex.quote(text)} --cases FILE --save"


def _warning(node: str, verifier: Verifier) -> str:
    try:
        fingerprint = verifier.fingerprint()
        if verifier_cards.find(fingerprint) is not None:
            return ""
        others = verifier_cards.of_verifier(verifier.name)
        who = f"the verifier {verifier.name!r} of {node!r} (fingerprint {fingerprint})"
        measure = f"measure it: {command(verifier)}"
        if not others:
            return f"warning: {who} has no card, so nobody knows what it wrongly pays for; {measure}"
        return (
            f"warning: {who} has no card; the one of {others[0].get('date', 'no date')} (fingerprint "
            f"{others[0]['fingerprint']}) differs in {_differences(others[0], verifier)}; {measure}"
        )
    except Exception as error:  # a stranger's verifier may raise anything; to warn must never stop a run
        return f"warning: no card was looked up for the verifier {verifier.name!r} of {node!r}: {error}"


def _differences(card: dict[str, Any], verifier: Verifier) -> str:
    """In what the verifier differs from the one that a card was measured on."""
    found = [] if card.get("version") == verifier.version else [f"version ({card.get('version')}, {verifier.version})"]
    try:
        now = json.loads(json.dumps(verifier.to_config(), default=str))
    except Exception:
        now = {}
    then = card.get("knobs") or {}
    found += [knob for knob in {**then, **now} if now and then.get(knob) != now.get(knob)]
    return ", ".join(found) or "its tables, prompts or weights"
