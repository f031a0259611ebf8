"""The tokens between two turns of the policy: what a chat template writes around another speaker's message.

Turn 2 gets the very tokens of turn 1, so only what stands between must be rendered. It is the difference of two renderings of
the conversation with a neutral word in place of what the policy said: up to the end of the policy's turn, and up to the
beginning of its next. Both are tokenised whole, and the first must be the head of the second, text and tokens alike;
a template for which that is not so (one that rewrites earlier turns) cannot be trained over several turns.
"""

from collections.abc import Sequence
from typing import Any

from medrl.errors import TemplateError
from medrl.models import Policy
from medrl.types import Message

NEUTRAL = "ok"


class TurnTemplate:
    """Renders what comes between turns, for one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._stops = [str(policy.tokenizer.convert_ids_to_tokens(token)) for token in policy.stop_ids]
        self._check()

    def between(self, prompt: Sequence[Message], turns: Sequence[Message], said: str) -> tuple[int, ...]:
        """Token ids after the end token of the policy's last turn up to where its next turn begins.

        Args:
            prompt: The problem's messages.
            turns: What came after, the policy's last turn at the end.
            said: The environment's answer to it.

        Raises:
            TemplateError: The template does not continue a conversation by adding to it.
        """
        spoken = [*prompt, *turns[:-1]]
        messages = [_neutral(m) if i >= len(prompt) and m["role"] == "assistant" else m for i, m in enumerate(spoken)]
        closed = self._closed(messages)
        longer = [*messages, {"role": "assistant", "content": NEUTRAL}, {"role": "user", "content": said}]
        whole = self._render(longer)
        if not whole.startswith(closed):
            raise self._unstable("it renders earlier turns otherwise once another message follows")
        head, ids = self._ids(closed), self._ids(whole)
        if ids[: len(head)] != head:
            raise self._unstable("the tokens before a turn change with what comes after it")
        return ids[len(head) :]

    def _closed(self, messages: Sequence[Message]) -> str:
        """The conversation up to and with the end token of a neutral turn of the policy."""
        opened = self._render(messages) + NEUTRAL
        ended = self._render([*messages, {"role": "assistant", "content": NEUTRAL}], generation=False)
        if not ended.startswith(opened):
            raise self._unstable("a finished turn does not begin as the prompt for it ended")
        rest = ended[len(opened) :]
        stop = next((one for one in self._stops if rest.startswith(one)), None)
        if stop is None:
            raise self._unstable(
                f"a finished turn is followed by {rest[:20]!r}, which is none of the end tokens {', '.join(self._stops)}"
            )
        return opened + stop

    def _check(self) -> None:
        """Two turns of a small conversation, so that a template that cannot serve is refused before anything is sampled."""
        self.between(({"role": "user", "content": "a"},), ({"role": "assistant", "content": "b"},), "c")

    def _render(self, messages: Sequence[Message], *, generation: bool = True) -> str:
        plain = [dict(message) for message in messages]
        try:
            rendered: Any = self.policy.renderer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=generation
            )
        except Exception as error:  # a template may raise anything of its own, mostly for roles that it does not take
            raise self._unstable(f"it fails on a conversation of several turns: {error}") from error
        return str(rendered)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.policy.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _unstable(self, why: str) -> TemplateError:
        return TemplateError(
            f"the chat template of {self.policy.name} cannot carry a conversation over several turns: {why}; set "
            "tokenizer.chat_template to one that only adds to what was said, or train without an environment"
        )


def _neutral(message: Message) -> Message:
    return {**message, "content": NEUTRAL}
