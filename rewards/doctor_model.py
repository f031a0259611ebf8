"""The learned part of doctor-likeness: a regression over named features, kept as one JSON file that anybody can read.

    p(doctor | reply, history) = sigmoid(a (b + w . features) + c)

w with the signs of `FEATURES` (`medrl.rewards.logistic`), a and c by Platt's method on replies about other diseases. Neither
length nor character n-grams are features: what a policy can copy without acting as a doctor does must not pay.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from medrl.data.clinic.dialogues import generate_flawed, generate_matched, generate_replies
from medrl.data.clinic.world import load_world
from medrl.data.replies import LabelledReply
from medrl.errors import DataError, MissingFile
from medrl.rewards.consultation import read_consultation
from medrl.rewards.consultation_lexicon import Lexicon, lexicon
from medrl.rewards.doctor_features import FEATURES, Reading, read_reply
from medrl.rewards.logistic import fit, platt, sigmoid
from medrl.verifiers.protocol import digest

FORMAT = 1
SHIPPED = "doctor_likeness.json"
PRIOR, L2 = 1.0, 8.0  # weight of a feature of which the replies say nothing, and how strongly it is held
ROUNDED = 4  # digits, so that the file is the same whichever machine computed it
SIZES = {"replies": 700, "matched": 300, "flawed": 300, "calibration": 300}
LARGEST = 200_000  # bytes of a model file


@dataclass(frozen=True)
class DoctorModel:
    """Weights by feature, bias, calibration, and what they were learned from."""

    weights: Mapping[str, float]
    bias: float
    slope: float
    offset: float
    data: Mapping[str, Any]

    def probability(self, features: Mapping[str, float]) -> float:
        """p(doctor) of a reply with these features, in (0, 1)."""
        value = self.bias + math.fsum(self.weights[name] * features[name] for name in FEATURES)
        return sigmoid(self.slope * value + self.offset)

    def to_json(self) -> dict[str, Any]:
        row = {
            "format": FORMAT, "features": list(FEATURES), "weights": dict(self.weights), "bias": self.bias,
            "calibration": {"slope": self.slope, "offset": self.offset}, "data": dict(self.data),
        }  # fmt: skip
        return {**row, "fingerprint": digest(row)}

    @property
    def fingerprint(self) -> str:
        """A digest of all that changes a score."""
        return str(self.to_json()["fingerprint"])


def read_all(replies: Sequence[LabelledReply], words: Lexicon) -> list[Reading]:
    """The features of replies, each after its own history."""
    return [read_reply(one.text, read_consultation(one.problem.messages, words), words) for one in replies]


def train(seed: int = 0, vocabulary: str = "clinic", sizes: Mapping[str, int] = SIZES) -> DoctorModel:
    """A model learned from the clinic's training replies: doctors against assistants and against doctors' flaws.

    Args:
        seed: Another seed draws other replies.
        vocabulary: By which the replies are read; what the clinic says needs no larger one.
        sizes: Consultations for `replies`, `matched`, `flawed` and `calibration`.
    """
    words = lexicon(vocabulary)
    replies = [
        *generate_replies(split="train", count=sizes["replies"], seed=seed),
        *generate_matched(split="train", count=sizes["matched"], seed=seed),
        # What prescribes unsafely is no matter of likeness: a veto stops it.
        *(one for one in generate_flawed(split="train", count=sizes["flawed"], seed=seed) if one.flaw not in ("", "unsafe")),
    ]  # fmt: skip
    rows = [list(one.features.values()) for one in read_all(replies, words)]
    labels = [bool(one.doctor) and not one.flaw for one in replies]
    weights, bias = fit(rows, labels, [one.sign for one in FEATURES.values()], prior=PRIOR, l2=L2)
    others = [
        *generate_replies(split="calibration", count=sizes["calibration"], seed=seed),
        *generate_matched(split="calibration", count=sizes["calibration"], seed=seed),
    ]
    raw = [
        bias + math.fsum(w * x for w, x in zip(weights, one.features.values(), strict=True))
        for one in read_all(others, words)
    ]
    slope, offset = platt(raw, [bool(one.doctor) for one in others])
    data = {
        "source": "medrl.data.clinic.dialogues", "world": load_world().fingerprint, "vocabulary": vocabulary,
        "vocabulary_fingerprint": words.known.fingerprint, "seed": seed, "sizes": dict(sizes), "prior": PRIOR, "l2": L2,
        "replies": digest([[one.problem.id, one.text, one.flaw] for one in [*replies, *others]]),
    }  # fmt: skip
    rounded = {name: round(w, ROUNDED) + 0.0 for name, w in zip(FEATURES, weights, strict=True)}
    return DoctorModel(rounded, round(bias, ROUNDED), round(slope, ROUNDED), round(offset, ROUNDED), data)


def load(path: str = "") -> DoctorModel:
    """A model from its file; the one that medrl ships where no path is given.

    Raises:
        MissingFile, DataError: The file is not there, or is not such a model, or was changed by hand.
    """
    if not path:
        return _shipped()
    try:
        about = Path(path).stat()
        if about.st_size > LARGEST:
            raise DataError(f"{path} is larger than {LARGEST} bytes; it is no model of doctor-likeness")
        return _from_file(path, about.st_mtime_ns)
    except FileNotFoundError:
        raise MissingFile(f"there is no model {path}; make one with `medrl doctor-likeness --train {path}`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=8)
def _from_file(path: str, stamp: int) -> DoctorModel:
    """`stamp` changes when the file does, so that a changed file is read again."""
    return read(Path(path).read_text(encoding="utf-8"), path)


@lru_cache(maxsize=1)
def _shipped() -> DoctorModel:
    return read((files("medrl.rewards") / SHIPPED).read_text(encoding="utf-8"), SHIPPED)


def read(text: str, where: str) -> DoctorModel:
    """A model from the text of its file, every part of it checked."""
    try:
        row = json.loads(text)
        weights = {name: _finite(row["weights"][name]) for name in FEATURES}
        made = DoctorModel(
            weights, _finite(row["bias"]), _finite(row["calibration"]["slope"]), _finite(row["calibration"]["offset"]),
            dict(row["data"]),
        )  # fmt: skip
        named, version, written = list(row["features"]), row["format"], row["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is no model of doctor-likeness: {type(error).__name__} {error}") from error
    faults = []
    if version != FORMAT:
        faults.append(f"its format is {version!r}, and this medrl reads {FORMAT}")
    if named != list(FEATURES) or set(row["weights"]) != set(FEATURES):
        faults.append("its features are not those of this medrl")
    faults += [
        f"the weight of {name!r} has the wrong sign" for name, w in weights.items() if w * FEATURES[name].sign < 0
    ]
    if made.slope <= 0:
        faults.append("its calibration turns the order round")
    if not faults and written != made.fingerprint:
        faults.append("its fingerprint is not that of its contents: it was changed by hand")
    if faults:
        raise DataError(f"{where}: {'; '.join(faults)}; train it anew with `medrl doctor-likeness --train {where}`")
    return made


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is not a finite number")
    return float(value)


def dump(model: DoctorModel) -> str:
    return json.dumps(model.to_json(), indent=1, ensure_ascii=False) + "\n"
