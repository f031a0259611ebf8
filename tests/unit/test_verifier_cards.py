"""Cards are found by fingerprint, and a run says which of its verifiers have none."""

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from medrl.commands.verifier_card import RULES, measure
from medrl.data import verifier_cards
from medrl.errors import DataError
from medrl.rewards import Verified, levels
from medrl.trainers.cards import card_warnings, command
from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers import Number, RuleVerifier, SetOf, Text, Typed, Verifier, build, rule_version


@dataclass(frozen=True)
class Half(RuleVerifier):
    """A verifier of another package."""

    name: ClassVar[str] = "half"
    value: float = 0.5

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict(self.value)


class Unnamed(Verifier):
    name = "unnamed"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return [Verdict.abstain() for _ in items]

    def fingerprint(self) -> str:
        raise OSError("the hub is away")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDRL_CARDS", str(tmp_path / "cards"))
    monkeypatch.setattr(verifier_cards, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "cards"


def measured(verifier: Verifier, tmp_path: Path) -> dict[str, Any]:
    cases = tmp_path / "cases.jsonl"
    rows = [{"question": "?", "reference": "asthma", "response": text, "expected": text == "asthma"}
            for text in ("asthma", "gout")]  # fmt: skip
    cases.write_text("\n".join(map(json.dumps, rows)))
    return measure(verifier, cases).report


def test_a_card_is_saved_and_found_by_its_fingerprint(tmp_path: Path, folder: Path) -> None:
    report = measured(Text(), tmp_path)
    assert verifier_cards.find(Text().fingerprint()) is None and verifier_cards.of_verifier("text") == []
    path = verifier_cards.save(report)
    assert path == folder / f"{Text().fingerprint()}.json"
    assert verifier_cards.find(Text().fingerprint()) == json.loads(json.dumps(report))
    assert verifier_cards.find(Number().fingerprint()) is None and verifier_cards.find("../etc") is None
    shipped = verifier_cards.save({**report, "date": "2020-01-01"}, verifier_cards.SHIPPED)
    own = verifier_cards.find(Text().fingerprint())
    assert own is not None and own["date"] != "2020-01-01"
    assert [card["date"] == "2020-01-01" for card in verifier_cards.of_verifier("text")] == [False, True]
    path.unlink()
    assert verifier_cards.find(Text().fingerprint()) == json.loads(shipped.read_text())


def test_the_folder_is_beside_the_runs_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert verifier_cards.default_folder() == tmp_path / "cards"
    monkeypatch.delenv("MEDRL_CARDS")
    assert verifier_cards.default_folder() == Path("cards")


def test_files_that_are_no_cards_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match="16 hex digits"):
        verifier_cards.save({"fingerprint": "../../x"})
    folder.mkdir()
    (folder / "notes.json").write_text("mine")
    name = Text().fingerprint()
    (folder / f"{name}.json").write_text("{half")
    with pytest.raises(DataError, match=rf"{name}\.json cannot be read"):
        verifier_cards.find(name)
    (folder / f"{name}.json").write_text('{"fingerprint": "0000000000000000"}')
    with pytest.raises(DataError, match="not the card of the fingerprint"):
        verifier_cards.of_verifier("text")
    (warning,) = card_warnings(Verified(Text(), otherwise=0.0))
    assert "no card was looked up" in warning and "is not the card" in warning


def test_a_verifier_without_a_card_is_warned_of_with_the_command_that_measures_it(tmp_path: Path) -> None:
    tree = levels(Typed("o1"), otherwise=0.0)
    (warning,) = card_warnings(tree)
    assert "'typed' of 'correct'" in warning and Typed("o1").fingerprint() in warning and "has no card" in warning
    words = shlex.split(warning.partition("measure it: ")[2])
    assert words[:2] == ["medrl", "card"] and words[3:] == ["--cases", "FILE", "--save"]
    assert build(json.loads(words[2])) == Typed("o1")
    assert command(Typed()) == "medrl card typed --cases FILE --save"
    assert command(Half(0.25)).startswith('medrl card \'{"type": ') and '"value": 0.25' in command(Half(0.25))
    verifier_cards.save(measured(Typed("o1"), tmp_path))
    assert card_warnings(tree) == []


def test_a_card_of_another_fingerprint_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = measured(Typed(), tmp_path)
    verifier_cards.save(report)
    (warning,) = card_warnings(levels(Typed("o1", 0.05), otherwise=0.0))
    assert f"(fingerprint {report['fingerprint']}) differs in format, relative_tolerance;" in warning
    with monkeypatch.context() as patch:
        patch.setattr(Typed, "version", "next")
        (warning,) = card_warnings(levels(Typed(), otherwise=0.0))
        assert f"differs in version ({report['version']}, next);" in warning
    with monkeypatch.context() as patch:
        patch.setattr(Typed, "data_digest", lambda self: "other tables")
        (warning,) = card_warnings(levels(Typed(), otherwise=0.0))
        assert "differs in its tables, prompts or weights;" in warning


@dataclass(frozen=True, eq=False)
class Table(Half):
    """A verifier with a knob that no config holds."""

    name: ClassVar[str] = "table"
    rows: Any = ()

    def fingerprint(self) -> str:
        return "0123456789abcdef"


class Secret(Table):
    def to_config(self) -> dict[str, Any]:
        raise ValueError("says nothing of itself")


@pytest.mark.parametrize("verifier", [Table(rows=np.zeros(3)), Table(rows={1, 2}), Table(rows=b"x"), Secret()])
def test_a_verifier_that_no_config_can_hold_is_warned_of_and_stops_no_run(
    verifier: Table, folder: Path, tmp_path: Path
) -> None:
    (warning,) = card_warnings(Verified(verifier, otherwise=0.0))
    assert "has no card, so nobody knows" in warning and warning.endswith(
        "medrl card MODULE:VERIFIER --cases FILE --save"
    )
    verifier_cards.save({**measured(Half(), tmp_path), "verifier": "table"})
    (warning,) = card_warnings(Verified(verifier, otherwise=0.0))
    assert "differs in" in warning and "MODULE:VERIFIER" in warning


def test_one_warning_a_verifier_and_none_stops_a_run() -> None:
    both = (
        Verified(Text(), "one", otherwise=0.0)
        + Verified(Half(), "two", otherwise=0.0)
        + Verified(Unnamed(), "three", otherwise=0.0)
    )
    said = card_warnings(both)
    assert len(said) == 3 and "'half' of 'two'" in said[1] and "the hub is away" in said[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [RULES, {**RULES, "format": "o1"}, {**RULES, "vocabulary": "clinic", "format": "o1"}]
)
def test_the_rules_ship_with_cards_of_their_own(config: dict[str, Any]) -> None:
    path = Path(verifier_cards.__file__).parent / "cards" / f"{build(config).fingerprint()}.json"
    assert path.is_file(), "rules or vocabulary changed: run `make cards`"
    card = json.loads(path.read_text(encoding="utf-8"))
    assert card["file"] == "heldout.jsonl" and card["n"] > 300 and card["accuracy_decided"] > 0.95


def test_the_version_of_rules_follows_their_code_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(rule_version.__file__).parent
    for file in source.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(rule_version, "files", lambda package: tmp_path)
    judge = {"type": "judge", "client": {"type": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}}

    def versions() -> tuple[str, str, str]:
        rule_version.rule_version.cache_clear()
        return Typed.version, Typed(vocabulary="clinic").fingerprint(), build(judge).fingerprint()

    try:
        before = versions()
        assert before[0] != "1" and len(before[0]) == 12
        for name in ("chat_judge.py", "classifier.py", "worker.py", "protocol.py"):
            (tmp_path / name).write_text("# other", encoding="utf-8")
        (tmp_path / "sets.py").write_bytes((tmp_path / "sets.py").read_bytes().replace(b"\n", b"\r\n"))
        assert versions() == before
        (tmp_path / "sets.py").write_text("# other rules", encoding="utf-8")
        after = versions()
        assert after[0] != before[0] and after[1] != before[1] and after[2] == before[2]
        assert Text.version == SetOf().version == after[0] and Half.version == "1"
    finally:
        rule_version.rule_version.cache_clear()


def test_every_module_that_a_rule_imports_is_in_its_version() -> None:
    source = Path(rule_version.__file__).parent
    seen: set[str] = set()
    todo = ["typed"]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            text = (source / f"{name}.py").read_text(encoding="utf-8")
            todo += re.findall(r"^ *from medrl\.verifiers\.(\w+) import", text, re.MULTILINE)
    assert len(seen) > 50 and seen & rule_version.NO_RULES == {"protocol"}
    assert {name for name in rule_version.NO_RULES if not (source / f"{name}.py").is_file()} == set()


def test_the_version_of_rules_is_the_same_in_another_process_and_out_of_a_zip(tmp_path: Path) -> None:
    root = Path(rule_version.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "medrl.zip", "w") as archive:
        for file in [*root.glob("*.py"), *(root / "verifiers").glob("*.py")]:
            archive.write(file, f"medrl/{file.relative_to(root)}")
    code = (
        "from medrl.verifiers.rule_version import rule_version as v; import medrl; print(v(), '.zip' in medrl.__file__)"
    )
    for path, zipped in ((root.parent, "False"), (tmp_path / "medrl.zip", "True")):
        found = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(path)}, capture_output=True, text=True,
            cwd=tmp_path,
        )  # fmt: skip
        assert found.stdout.split() == [Typed.version, zipped], found.stderr
