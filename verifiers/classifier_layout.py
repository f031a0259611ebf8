"""How a problem and an answer are laid out as the text that a classifier reads.

`huatuo_o1` is the layout on which FreedomIntelligence/medical_o1_verifier_3B was trained (HuatuoGPT-o1, arXiv
2412.18925; the paper does not give it, the published training code does): response, reference, the task, then the
tokenizer's end-of-sequence token. `pair` gives the two texts to a tokenizer that has a layout of its own for pairs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medrl.errors import RecipeError, did_you_mean
from medrl.types import Problem

HUATUO_O1 = (
    "<Model Response>\n{response}\n</Model Response>\n\n"
    "<Reference Answer>\n{reference}\n</Reference Answer>\n\n"
    "Your task is to evaluate the model response by comparing it to the reference answer. If the model response is "
    'correct and aligns with the reference answer, output "True" . If it is incorrect or fails to select the correct '
    'option (if options are provided), output "False" . {eos}'
)
PAIR = "pair"
LAYOUTS: Mapping[str, str] = {"huatuo_o1": HUATUO_O1, PAIR: "{response}{reference}"}
QUESTION = "<Question>\n{question}\n</Question>\n\n"  # put above a named layout where the question is to be shown
MARK = 8  # a literal line of so many letters and signs is a mark that an answer may not hold
_SLOT = re.compile(r"\{(response|reference|question|eos)\}")


@dataclass(frozen=True)
class Layout:
    """A template whose slots are filled once, so that nothing inside a text is read as a slot.

    Attributes:
        template: Text with {response} and {reference}, and {question} or a closing {eos} where wanted.
        pair: Whether response and reference go to the tokenizer as two texts.
    """

    template: str
    pair: bool = False

    @property
    def ends(self) -> bool:
        """Whether the end-of-sequence token closes it."""
        return self.template.endswith("{eos}")

    def fill(self, response: str, reference: str, question: str) -> str:
        """The text, without the end-of-sequence token."""
        texts = {"response": response, "reference": reference, "question": question, "eos": ""}
        return _SLOT.sub(lambda slot: texts[slot[1]], self.template)

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """The literal lines of the template, without white space and case."""
        lines = (_bare(line) for piece in _SLOT.split(self.template)[::2] for line in piece.splitlines())
        return tuple(dict.fromkeys(line for line in lines if len(line) >= MARK))

    def forged(self, response: str) -> bool:
        """Whether an answer holds the layout's own marks, to look like more than an answer."""
        bare = _bare(response)
        return any(mark in bare for mark in self.marks)


def layout_of(layout: str, show_question: bool) -> Layout:
    """The layout of this name, or the user's own template.

    Raises:
        RecipeError: No such name, a template without both slots, or one that disagrees with `show_question`.
    """
    if layout == PAIR:
        return Layout((QUESTION if show_question else "") + LAYOUTS[PAIR], pair=True)
    if layout in LAYOUTS:
        return Layout((QUESTION if show_question else "") + LAYOUTS[layout])
    if "{" not in layout:
        raise RecipeError(
            "layout",
            [
                f"{layout!r} is no layout{did_you_mean(layout, LAYOUTS)}, and no template with {{response}} and {{reference}}"
            ],
        )
    faults = [
        f"the template has {{{slot}}} {layout.count(f'{{{slot}}}')} times; it needs it once"
        for slot in ("response", "reference")
        if layout.count(f"{{{slot}}}") != 1
    ]
    if ("{question}" in layout) != show_question:
        faults.append("the template has {question} just when show_question is true; change one of them")
    if "{eos}" in layout and (layout.count("{eos}") != 1 or not layout.endswith("{eos}")):
        faults.append("{eos} may only close the template")
    if faults:
        raise RecipeError("layout", faults)
    return Layout(layout)


def shown_reference(problem: Problem) -> str:
    """The reference as a reader without the question needs it: the label of a choice with its option's text."""
    reference = str(problem.reference).strip()
    option = problem.options.get(reference)
    return f"{reference}. {option}" if option else reference


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text).casefold()


def encodable(text: str) -> str:
    """`text` as a tokenizer takes it: half of a surrogate pair, which a policy must not gain by, becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def token_ids(tokenizer: Any, layout: Layout, response: str, reference: str, question: str) -> dict[str, list[int]]:
    """What the model is given for one answer; see `many_token_ids`."""
    return many_token_ids(tokenizer, layout, [(response, reference, question)])[0]


def many_token_ids(tokenizer: Any, layout: Layout, texts: Sequence[tuple[str, str, str]]) -> list[dict[str, list[int]]]:
    """`input_ids` of each (response, reference, question), and `token_type_ids` where the tokenizer has them for pairs.

    Special tokens written out inside a text are read as plain text, so an answer cannot close the layout or start anew.
    A text is encoded in one piece, as in training; nothing is ever cut.
    """
    common = {"split_special_tokens": True, "verbose": False, "truncation": False, "padding": False}
    if not texts:
        return []
    texts = [
        (encodable(response), encodable(reference), encodable(question)) for response, reference, question in texts
    ]
    if layout.pair:
        firsts = [layout.fill(response, "", question) for response, _, question in texts]
        found = tokenizer(firsts, [reference for _, reference, _ in texts], add_special_tokens=True, **common)
        names = [name for name in ("input_ids", "token_type_ids") if name in found]
        return [{name: list(found[name][i]) for name in names} for i in range(len(texts))]
    found = tokenizer([layout.fill(*one) for one in texts], add_special_tokens=False, **common)
    end = [tokenizer.eos_token_id] if layout.ends else []
    return [{"input_ids": [*ids, *end]} for ids in found["input_ids"]]


def tokenizer_faults(tokenizer: Any, layout: Layout) -> list[str]:
    """Why this tokenizer cannot write this layout."""
    if layout.pair and not tokenizer.num_special_tokens_to_add(pair=True):
        return ["its tokenizer puts nothing between two texts, so layout `pair` would join them; use another layout"]
    if layout.ends and tokenizer.eos_token_id is None:
        return ["its tokenizer has no end-of-sequence token, which closes the layout"]
    return []
