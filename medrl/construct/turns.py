"""What a model may write as a turn of a dialogue, and in which language it is asked to."""

import re
from collections.abc import Mapping
from typing import Any

from medrl.chat.base import ChatBadReply
from medrl.chat.strict import read_reply
from medrl.data.rows import Row, language_of
from medrl.verifiers.judge_prompt import Language

FEW_LETTERS = 12  # of so few, such as "CT?", no language can be told
_ROLE = re.compile(r"\s*(?:问|答|患者|病人|医生|医师|patient|doctor)\s?[:：]", re.IGNORECASE)


def text_schema(most: int) -> dict[str, Any]:
    """The JSON schema of a text of 1 to `most` characters."""
    return {"type": "string", "minLength": 1, "maxLength": most}


def read_turn(
    text: str, schema: Mapping[str, Any], name: str, who: str, language: Language
) -> tuple[str, Mapping[str, Any]]:
    """The turn in property `name` of a reply, with blanks at its ends off, and the whole reply.

    Raises:
        ChatBadReply: The reply is not one JSON object of the schema; or the turn is blank, in another language, as long as
            the schema allows (a server that enforces the schema ends a text there, in the middle of a sentence), or a line of
            it begins with a role mark of a dialogue, which a data set could not tell apart from another's turn.
    """
    found: Mapping[str, Any] = read_reply(text, schema, who)
    turn, most = str(found[name]).strip(), schema["properties"][name]["maxLength"]  # which strict reading leaves open
    if len(str(found[name])) >= most:
        raise ChatBadReply(f"{who}'s {name} was cut, or is too long: it has {most:,} characters or more")
    if sum(map(str.isalpha, turn)) >= FEW_LETTERS and language_of(turn) != language:
        raise ChatBadReply(f"{who}'s {name} is not in {language!r}: {turn!r:.60}")
    if not any(map(str.isalnum, turn)):
        raise ChatBadReply(f"{who}'s {name} is blank: {turn!r:.60}")
    if any(map(_ROLE.match, turn.splitlines())) or "<HuatuoGPT>" in turn or "<病人>" in turn:
        raise ChatBadReply(f"{who}'s {name} writes a role mark of the dialogue: {turn!r:.60}")
    return turn, found


def on_one_line(text: str) -> str:
    """A turn without its line breaks: where a dialogue has a line for each turn, nobody may write two."""
    return " ".join(text.split())


def language_for(knob: str, row: Row, text: str) -> Language:
    """The language of a prompt: the knob's, or with "auto" what the row says, or else that of its text."""
    code = (str(row.get("language") or "") if knob == "auto" else knob).lower()
    if not code.startswith(("zh", "en")):
        code = language_of(text)  # "Chinese", "cn" and others are nobody's code
    return "zh" if code.startswith("zh") else "en"
