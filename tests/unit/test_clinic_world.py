"""The clinic tables hold together, and a broken table is refused by name and line."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from medrl.data.clinic.world import LANGUAGES, load_world
from medrl.errors import DataError, MissingFile

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    for table in files("medrl.data.clinic").joinpath("tables").iterdir():
        if table.name.endswith(".jsonl"):
            (folder / table.name).write_bytes(table.read_bytes())
    return folder


def change(folder: Path, table: str, line: int, edit: Edit) -> None:
    path = folder / f"{table}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[line - 1])
    edit(row)
    lines[line - 1] = json.dumps(row, ensure_ascii=False)
    path.write_text("\n".join(lines), encoding="utf-8")


def test_the_bundled_tables_are_whole() -> None:
    world = load_world()
    assert len(world.diseases) >= 84
    assert len(world.drugs) >= 90
    assert len(world.labs) >= 45
    assert load_world() is world
    assert all(concept.sources for _, concept in world.concepts())


def test_vocabulary_holds_every_name_and_synonym_in_both_languages() -> None:
    world = load_world()
    for language in LANGUAGES:
        words = world.vocabulary(language)
        for concept in world.diseases.values():
            assert {words[form] for form in concept.forms(language)} == {f"disease:{concept.id}"}
        assert all(form in words for _, concept in world.concepts() for form in concept.forms(language))


def test_aliases_leave_out_only_the_reference_name() -> None:
    disease = next(d for d in load_world().diseases.values() if d.synonyms_en and d.synonyms_zh)
    assert set(disease.aliases("en")) == {disease.name.zh, *disease.synonyms_zh, *disease.synonyms_en}
    assert set(disease.aliases("zh")) == {disease.name.en, *disease.synonyms_zh, *disease.synonyms_en}


@pytest.mark.parametrize(
    ("table", "edit", "message"),
    [
        ("diseases", lambda row: row["findings"].append("no_such_finding"), "findings names 'no_such_finding'"),
        ("diseases", lambda row: row.update(department="cardiologi"), "did you mean 'cardiology'"),
        ("diseases", lambda row: row.update(clinically_reviewed=True), "clinically_reviewed"),
        ("diseases", lambda row: row.update(acuity="soon"), "acuity is 'soon'"),
        ("diseases", lambda row: row.update(excludes=row["findings"][:1]), "findings and excludes share"),
        ("drugs", lambda row: row.update(sources={}), "where its facts come from"),
        ("drugs", lambda row: row["dose"].update(amount="much"), "'amount' is 'much'"),
        ("drugs", lambda row: row["name"].pop("zh"), "needs both languages"),
        ("labs", lambda row: row.pop("unit"), "column 'unit' is missing"),
        ("labs", lambda row: row.update(low=9, high=2), "low 9 is not below high 2"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(tables: Path, table: str, edit: Edit, message: str) -> None:
    change(tables, table, 3, edit)
    with pytest.raises(DataError) as caught:
        load_world(str(tables))
    assert message in str(caught.value)
    assert f"{table}.jsonl" in str(caught.value)
    assert " 3" in str(caught.value)


def test_a_name_used_twice_names_both_lines(tables: Path) -> None:
    first = json.loads((tables / "tests.jsonl").read_text(encoding="utf-8").splitlines()[0])
    change(tables, "tests", 5, lambda row: row["name"].update(en=first["name"]["en"].upper()))
    with pytest.raises(DataError, match=r"tests\.jsonl line 5: .* already names the row of line 1"):
        load_world(str(tables))


def test_all_faults_come_at_once_the_first_ten_spelled_out(tables: Path) -> None:
    for line in range(1, 13):
        change(tables, "findings", line, lambda row: row.pop("kind"))
    with pytest.raises(DataError, match="and 2 more") as caught:
        load_world(str(tables))
    assert str(caught.value).count("column 'kind' is missing") == 10


def test_a_missing_table_is_named(tables: Path) -> None:
    (tables / "labs.jsonl").unlink()
    with pytest.raises(MissingFile, match=r"labs\.jsonl"):
        load_world(str(tables))


def test_the_fingerprint_follows_the_content(tables: Path) -> None:
    assert load_world(str(tables)).fingerprint == load_world().fingerprint
    moved = tables.parent / "other"
    shutil.copytree(tables, moved)
    change(moved, "drugs", 1, lambda row: row["dose"].update(amount=1.5))
    assert load_world(str(moved)).fingerprint != load_world().fingerprint
