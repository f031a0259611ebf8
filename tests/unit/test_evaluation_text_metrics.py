"""BLEU, GLEU, ROUGE and Distinct: against the libraries' own entry points, and cases worked out by hand."""

import math

import pytest

from medrl.errors import DataError
from medrl.evaluation.answers import Answered, Answers, Reply
from medrl.evaluation.text_metrics import bleu, distinct, figures, of_answers, rouge
from medrl.types import Problem, ask

sacrebleu = pytest.importorskip("sacrebleu")
gleu_score = pytest.importorskip("nltk.translate.gleu_score")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

ENGLISH = (
    ["Take rest, and drink plenty of water.", "See a doctor today if the fever stays above 39 °C.", "It is gout"],
    [
        "Rest and drink a lot of water.",
        "If the fever stays above 39 °C, see a doctor today.",
        "This is gout, not pseudogout",
    ],
)
CHINESE = (["患者应注意休息，多喝水", "建议尽快就医"], ["患者需要休息，多饮水。", "建议立即就医，做心电图"])


def test_bleu_is_sacrebleus_own() -> None:
    found = figures(*ENGLISH, ["words"])
    assert found["BLEU-4 (13a)"] == pytest.approx(sacrebleu.corpus_bleu(ENGLISH[0], [ENGLISH[1]]).score)
    chinese = figures(*CHINESE, ["mixed", "characters"], chinese=True)
    for name in ("zh", "char"):
        theirs = sacrebleu.corpus_bleu(CHINESE[0], [CHINESE[1]], tokenize=name).score
        assert chinese[f"BLEU-4 ({name})"] == pytest.approx(theirs)


def test_bleu_by_hand() -> None:
    reply, reference = "the cat the cat on the mat".split(), "the cat is on the mat".split()
    # Clipped unigrams: the 2 of 3, cat 1 of 2, on 1, mat 1: 5 of 7; bigrams: the cat 1 of 2, on the 1, the mat 1: 3 of 6.
    assert bleu([reply], [reference], 1) == pytest.approx(100 * 5 / 7)
    assert bleu([reply], [reference], 2) == pytest.approx(100 * math.sqrt(5 / 7 * 3 / 6))
    assert bleu([reply[4:]], [reference], 1) == pytest.approx(100 * math.exp(1 - 6 / 3))  # brevity


def test_rouge_is_rouge_scores_own_and_by_hand() -> None:
    theirs = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    plain = [[text.lower().replace(",", "").replace(".", "").replace("°", "") for text in texts] for texts in ENGLISH]
    rows = [theirs.score(b, a) for a, b in zip(*plain, strict=True)]
    ours = rouge([text.split() for text in plain[0]], [text.split() for text in plain[1]])
    for name in ("1", "2", "L"):
        assert ours[name] == pytest.approx(100 * sum(row[f"rouge{name}"].fmeasure for row in rows) / 3)
    # Longest common subsequence of ABCBDAB and BDCABA: 4; P = 4/7, R = 4/6, F = 8/13.
    assert rouge([list("ABCBDAB")], [list("BDCABA")])["L"] == pytest.approx(100 * 8 / 13)


def test_gleu_by_hand_and_nltks_own() -> None:
    found = figures(["the cat sat"], ["the cat ran"], ["words"])
    assert found["GLEU (13a)"] == pytest.approx(100 * 3 / 6)  # the, cat, the cat, of six n-grams on either side
    tokens = [[list(text) for text in texts] for texts in CHINESE]
    theirs = 100 * gleu_score.corpus_gleu([[one] for one in tokens[1]], tokens[0])
    assert figures(*CHINESE, ["characters"])["GLEU (char)"] == pytest.approx(theirs)


def test_distinct_by_hand() -> None:
    texts = [["a", "b", "a"], ["a", "b"]]
    assert distinct(texts, 1) == 2 / 5 and distinct(texts, 2) == 2 / 3 and distinct([["a"]], 2) == 0.0


def test_a_chinese_sentence_is_never_one_word() -> None:
    with pytest.raises(DataError, match="takes a Chinese sentence for one word"):
        figures(*CHINESE, ["words"], chinese=True)
    same = figures(["多喝水"], ["多饮水"], ["mixed", "characters"], chinese=True)
    assert same["ROUGE-1 (zh)"] == same["ROUGE-1 (char)"] == pytest.approx(100 * 2 / 3)
    mixed = figures(["服用 aspirin 100 mg"], ["服用 aspirin 75 mg"], ["mixed"], chinese=True)
    assert mixed["ROUGE-1 (zh)"] == pytest.approx(100 * 4 / 5)


@pytest.mark.parametrize(("language", "reference"), [("zh", "休息"), ("en", "注意休息"), ("zh", "rest")])
def test_words_are_refused_where_any_problem_is_chinese(language: str, reference: str) -> None:
    english = [Answered(Problem(f"p{i}", ask("What?"), "rest"), (Reply("rest"),), "s") for i in range(9)]
    one = Answered(Problem("zh", ask("怎么办"), reference, language=language), (Reply("多休息"),), "s")
    with pytest.raises(DataError, match="1 of 10 problems of the set 's' are Chinese"):
        of_answers(Answers("m", (*english, one)), ["mixed", "words"])
    assert of_answers(Answers("m", (*english, one)), ["mixed"])["s"]["pairs"] == 10
    asked = Answered(one.problem, (Reply("多休息"),), "another")
    with pytest.raises(DataError, match="'another'"):
        of_answers(Answers("m", (*english, asked)), ["words"])
    # a Chinese reply to an English question is the model's fault, and its figures are those of one word
    strange = Answered(Problem("x", ask("What?"), "rest"), (Reply("多休息"),), "s")
    assert of_answers(Answers("m", (*english, strange)), ["words"])["s"]["pairs"] == 10
    with pytest.raises(DataError, match="takes a Chinese sentence for one word"):
        figures(["rest"], ["休息"], ["words"])


def test_only_visible_answers_to_open_problems_count() -> None:
    open_ = Problem("a", ask("What to do?"), "rest and water")
    letter = Problem("b", ask("Which?"), "A", "choice", {"A": "x", "B": "y"})
    replies = (Reply("<think>hm hm hm</think>rest and water"), Reply("", error="down"))
    found = of_answers(Answers("m", (Answered(open_, replies, "s"), Answered(letter, (Reply("A"),), "s"))), ["words"])
    assert found["s"]["pairs"] == 1 and found["s"]["ROUGE-L (13a)"] == 100.0
    assert of_answers(Answers("m", (Answered(letter, (Reply("A"),), "s"),)), ["words"]) == {}
    with pytest.raises(DataError, match="no tokenizer 'word'"):
        figures(["a"], ["b"], ["word"])


def test_an_endless_reply_is_cut_and_counted() -> None:
    assert figures(["pain " * 50_000, "rest"], ["pain", "rest"], ["words"])["cut"] == 1
