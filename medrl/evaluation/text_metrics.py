"""Replies against reference texts: BLEU-1 to 4, GLEU, ROUGE-1, 2 and L, Distinct-1 and 2, as Huatuo-26M reports them.

BLEU is sacrebleu's (Post 2018, arXiv 1804.08771), GLEU nltk's (Wu et al. 2016, arXiv 1609.08144, section 4.3), ROUGE
rouge-score's F measure (Lin 2004); Distinct-n is the share of different n-grams among all (Li et al. 2016, arXiv 1510.03055).
All four see the same tokens, and each figure's name says which, for without a tokenizer no such figure means anything:

- `words`: sacrebleu's "13a". Chinese has no spaces, so a Chinese sentence would be one word; refused for a set
  with any Chinese in it.
- `characters`: every character is a token.
- `mixed`: sacrebleu's "zh": every Chinese character is a token, all else as in `words`.

Only the visible answer counts, and only problems with a reference text and without options. None of these figures says
whether an answer is right: a reply with "not" in it scores as well as one without.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from medrl.errors import DataError, need
from medrl.evaluation.answers import Answers
from medrl.verifiers.extract import sections

TOKENIZERS: Mapping[str, str] = {"words": "13a", "characters": "char", "mixed": "zh"}
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
LONGEST = 2048  # tokens of a text that are read: the time of ROUGE-L grows with the product of two lengths
CHARACTERS = 8 * LONGEST  # of a text that a tokenizer is given


class Tokenizer(Protocol):
    """What sacrebleu calls a tokenizer: a text in, its tokens with spaces between them out."""

    def __call__(self, line: str) -> str: ...


def of_answers(answers: Answers, tokenizers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The figures of each set that has reference texts, by every tokenizer asked for."""
    found: dict[str, dict[str, Any]] = {}
    for name, items in answers.sets.items():
        open_ = [one for one in items if (one.problem.reference or "").strip() and not one.problem.options]
        pairs = [
            (sections(reply.text).answer.strip(), str(one.problem.reference))
            for one in open_
            for reply in one.replies
            if not reply.error
        ]
        if pairs:
            chinese = sum(one.problem.language == "zh" or is_chinese(str(one.problem.reference)) for one in open_)
            if chinese and "words" in tokenizers:
                raise DataError(
                    f"{chinese} of {len(open_)} problems of the set {name!r} are Chinese, and the tokenizer `words` takes a "
                    "Chinese sentence for one word; use `mixed` or `characters`, or a set for each language"
                )
            found[name] = figures([reply for reply, _ in pairs], [text for _, text in pairs], tokenizers)
    return found


def figures(
    replies: Sequence[str], references: Sequence[str], tokenizers: Sequence[str], chinese: bool = False
) -> dict[str, Any]:
    """All figures, 0 to 100 (Distinct 0 to 1), named as "BLEU-4 (13a)"; `pairs` counts, `cut` says how many were too long.

    Args:
        replies: One a reference.
        references: In the same order.
        tokenizers: Names of `TOKENIZERS`.
        chinese: Whether any of the texts is Chinese, which `words` cannot part; a reference with Chinese in it is.

    Raises:
        DataError: There is nothing to compare, a tokenizer is unknown, or does not fit Chinese.
        MissingExtra: The metrics' packages are not installed.
    """
    if not replies or len(replies) != len(references):
        raise DataError(
            f"{len(replies)} replies and {len(references)} references; give one reply a reference, and some"
        )
    found: dict[str, Any] = {"pairs": len(replies)}
    for name in tokenizers:
        if name not in TOKENIZERS:
            raise DataError(f"there is no tokenizer {name!r}; known: {', '.join(TOKENIZERS)}")
        if name == "words" and (chinese or any(map(is_chinese, references))):
            raise DataError("the tokenizer `words` takes a Chinese sentence for one word; use `mixed` or `characters`")
        tokens = [[_tokens(name, text) for text in texts] for texts in (replies, references)]
        found |= _by_tokens(tokens[0], tokens[1], TOKENIZERS[name])
    found["cut"] = sum(len(text) > CHARACTERS or len(_tokens(tokenizers[0], text)) == LONGEST for text in replies)
    return found


def _by_tokens(replies: Sequence[list[str]], references: Sequence[list[str]], label: str) -> dict[str, float]:
    row = {f"BLEU-{n} ({label})": bleu(replies, references, n) for n in (1, 2, 3, 4)}
    gleu = need("nltk.translate.gleu_score", "metrics")
    row[f"GLEU ({label})"] = 100 * float(gleu.corpus_gleu([[one] for one in references], list(replies)))
    row |= {f"ROUGE-{name} ({label})": value for name, value in rouge(replies, references).items()}
    return row | {f"Distinct-{n} ({label})": distinct(replies, n) for n in (1, 2)}


def is_chinese(text: str) -> bool:
    """Whether a text has Chinese characters in it."""
    return _HAN.search(text) is not None


def bleu(replies: Sequence[list[str]], references: Sequence[list[str]], order: int) -> float:
    """Corpus BLEU up to n-grams of `order`, 0 to 100, of texts that are tokenised already; sacrebleu's own smoothing."""
    metric = need("sacrebleu.metrics", "metrics").BLEU(tokenize="none", max_ngram_order=order, force=True)
    return float(metric.corpus_score([" ".join(one) for one in replies], [[" ".join(one) for one in references]]).score)


def rouge(replies: Sequence[list[str]], references: Sequence[list[str]]) -> dict[str, float]:
    """Mean F measure of ROUGE-1, 2 and L over pairs, 0 to 100, letters in lower case."""
    scorer = need("rouge_score.rouge_scorer", "metrics").RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Split())
    sums = dict.fromkeys(("1", "2", "L"), 0.0)
    for reply, reference in zip(replies, references, strict=True):
        row = scorer.score("\n".join(reference), "\n".join(reply))
        for name in sums:
            sums[name] += row[f"rouge{name}"].fmeasure
    return {name: 100 * value / len(replies) for name, value in sums.items()}


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams over all n-grams of all texts; 0 where there is none."""
    grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


class _Split:
    """Tokens that were joined by line breaks, for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        return text.lower().split("\n") if text else []


def _tokens(name: str, text: str) -> list[str]:
    return _tokenizer(name)(text[:CHARACTERS]).split()[:LONGEST]


@cache
def _tokenizer(name: str) -> Tokenizer:
    module, attribute = {
        "words": ("tokenizer_13a", "Tokenizer13a"),
        "characters": ("tokenizer_char", "TokenizerChar"),
        "mixed": ("tokenizer_zh", "TokenizerZh"),
    }[name]
    made: Tokenizer = getattr(need(f"sacrebleu.tokenizers.{module}", "metrics"), attribute)()
    return made
