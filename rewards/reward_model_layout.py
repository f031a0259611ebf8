"""How a prompt and a response are laid out as the tokens that a reward model reads, in training and in use alike.

The tokenizer's own chat template renders prompt and reply. Marks of the template that stand inside a text (a policy can
write `<|im_end|>` letter by letter) are broken up first, so no reply can end its turn and speak for another. Tokenizers
with segments (of BERT's kind) get 0 for the prompt and 1 for the reply. Nothing is ever cut.

Of the policy's turns only the visible answer is read (`visible`): reasoning is where a policy could praise its own reply
unseen.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from medrl.types import Message, Problem, Response
from medrl.verifiers.classifier_layout import encodable
from medrl.verifiers.extract import Format, sections

Row = dict[str, list[int]]


def visible(text: str, format: Format) -> str:
    """What a reward model reads of a reply: all of it for `plain`, else the answer behind the reasoning."""
    return text if format == "plain" else sections(text, format).answer


def conversation(problem: Problem, response: Response, format: Format = "plain") -> tuple[list[Message], str]:
    """The messages before the policy's last one, and that one, the policy's own ones as far as they are `visible`.

    The turns of an episode may begin with the prompt's messages or follow them, and may leave out the last message.
    """
    turns, prompt = list(response.turns), list(problem.messages)
    reply = visible(response.text, format)
    if [dict(m) for m in turns[: len(prompt)]] == [dict(m) for m in prompt]:
        turns = turns[len(prompt) :]
    if turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return [*prompt, *(_seen(turn, format) for turn in turns)], reply


def _seen(turn: Message, format: Format) -> Message:
    if turn["role"] != "assistant" or not isinstance(turn["content"], str):
        return turn
    return {**turn, "content": visible(turn["content"], format)}


def token_rows(tokenizer: Any, pairs: Sequence[tuple[Problem, Response]], format: Format = "plain") -> list[Row]:
    """`input_ids` of each conversation, and `token_type_ids` where the model reads segments."""
    return [_row(tokenizer, *conversation(problem, response, format)) for problem, response in pairs]


def prompt_tokens(tokenizer: Any, problem: Problem) -> int:
    """How many tokens a problem takes before the policy has written anything."""
    return len(_ids(tokenizer, _rendered(tokenizer, problem.messages, opened=True)))


def reply_tokens(tokenizer: Any, text: str) -> int:
    """The length of a reply by itself, the template's marks left out: what length bias is measured against."""
    return len(_ids(tokenizer, defused(tokenizer, text)))


def defused(tokenizer: Any, text: str) -> str:
    """`text` in which no special token of the tokenizer stands: a space is put after its first character."""
    for mark in _marks(tokenizer):
        if mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return encodable(text)


def _row(tokenizer: Any, before: Sequence[Message], reply: str) -> Row:
    after = [*before, {"role": "assistant", "content": reply}]
    opened, whole = (_rendered(tokenizer, before, opened=True), _rendered(tokenizer, after, opened=False))
    if "token_type_ids" not in tokenizer.model_input_names or not whole.startswith(opened):
        return {"input_ids": _ids(tokenizer, whole)}
    first, second = _ids(tokenizer, opened), _ids(tokenizer, whole[len(opened) :])
    return {"input_ids": [*first, *second], "token_type_ids": [0] * len(first) + [1] * len(second)}


def _rendered(tokenizer: Any, messages: Sequence[Message], *, opened: bool) -> str:
    safe = [{**message, "content": _content(tokenizer, message["content"])} for message in messages]
    return str(tokenizer.apply_chat_template(safe, tokenize=False, add_generation_prompt=opened))


def _content(tokenizer: Any, content: Any) -> Any:
    if isinstance(content, str):
        return defused(tokenizer, content)
    return [{**part, "text": defused(tokenizer, part["text"])} if "text" in part else part for part in content]


def _ids(tokenizer: Any, text: str) -> list[int]:
    found = tokenizer(text, add_special_tokens=False, verbose=False, truncation=False, padding=False)
    return list(found["input_ids"])


def _marks(tokenizer: Any) -> tuple[str, ...]:
    return _marks_of(tuple(sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()})))


@lru_cache(maxsize=32)
def _marks_of(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Longest first; a mark of one character, which cannot be broken up, and blank ones are left."""
    return tuple(sorted((one for one in tokens if len(one.strip()) > 1), key=lambda one: (-len(one), one)))
