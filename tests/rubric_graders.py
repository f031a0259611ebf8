"""Graders for a chat server of tests, which read what the reward `rubric` shows them and answer by plain rules."""

import json
import re
from typing import Any

from medrl.rewards import rubric_self_test

SLOT = re.compile(r"=== (?P<code>[0-9a-f]{16}) (?P<name>[A-Z]+) ===\n(?P<text>(?:\| .*\n)*?)=== (?P=code) END ===")


def slots(request: dict[str, Any]) -> dict[str, str]:
    """What a request shows, by the names of its slots."""
    text = request["messages"][-1]["content"]
    return {m["name"]: "\n".join(line[2:] for line in m["text"].splitlines()) for m in SLOT.finditer(text)}


def met(request: dict[str, Any]) -> list[bool]:
    """A criterion is met where the last word of it stands in the answer; answers of the self-test are known."""
    shown = slots(request)
    known = {row.answer: list(row.met) for row in rubric_self_test.ROWS}.get(shown["ANSWER"])
    return known or [line.split()[-1] in shown["ANSWER"].split() for line in shown["CRITERIA"].splitlines()]


def numbered(yes: list[bool]) -> str:
    """A reply in the layout `numbered`."""
    return json.dumps({str(i): one for i, one in enumerate(yes, 1)})


def grader(request: dict[str, Any], number: int) -> str:
    """Replies honestly in the layout `numbered`."""
    return numbered(met(request))
