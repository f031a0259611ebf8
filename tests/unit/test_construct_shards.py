"""The shards of a construction as one: knobs, who may share a folder, figures together, rows in one file."""

import json
from collections import Counter
from pathlib import Path

import pytest

from medrl.commands.construct_shards import construct_shards
from medrl.construct.roles import Bill
from medrl.construct.shards import begin_together, belongs, join, refuse_other_shards, shard_folder, together
from medrl.construct.tally import Tally
from medrl.errors import ClusterUnavailable, DataError, RecipeError
from medrl.files import read_jsonl
from medrl.recipes.construction import load_construction

EXAMPLE = Path(__file__).parents[2] / "examples" / "huatuogpt_o1" / "problems.yaml"


def fill(whole: Path, place: int, ids: list[str]) -> None:
    folder = shard_folder(whole, place, 2)
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
    tally = Tally(
        total=10,
        outcomes=Counter(kept=len(ids)),
        failures=Counter(cut_off=1),
        bill=Bill(calls=3),
        spent=Bill(calls=4),
        last_failure="cut_off: x",
        complete=True,
    )
    (folder / "report.json").write_text(json.dumps(tally.report()))


def shares() -> list[list[str]]:
    return [[one for one in map(str, range(20)) if belongs(one, place, 2)] for place in range(2)]


def test_rows_are_joined_once_and_figures_are_those_of_all(tmp_path: Path) -> None:
    fill(tmp_path, 0, shares()[0])
    assert together(tmp_path, 2)[0].total is None, "one of them has told nothing yet"
    assert not together(tmp_path, 2)[0].complete
    fill(tmp_path, 1, shares()[1])
    tally, lines = together(tmp_path, 2)
    assert (tally.total, tally.outcomes["kept"], tally.failures["cut_off"], tally.bill.calls) == (20, 20, 2, 6)
    assert tally.complete and list(lines) == ["shard 0 of 2", "shard 1 of 2"]
    for _ in range(2):  # a second time changes nothing
        join(tmp_path, 2)
        assert sorted(row["id"] for row in read_jsonl(tmp_path / "rows.jsonl")) == sorted(map(str, range(20)))


def test_a_start_is_not_told_what_shards_reported_of_the_one_before(tmp_path: Path) -> None:
    for place in range(2):
        fill(tmp_path, place, shares()[place])
    begin_together(tmp_path, 2)
    tally, lines = together(tmp_path, 2)
    assert (tally.total, tally.outcomes["kept"], tally.bill.calls) == (20, 20, 6), "rows and what they took stay"
    assert not tally.failures and not tally.complete and not tally.spent.calls and not tally.last_failure
    assert all("failed" not in line and " 0 calls" in line for line in lines.values())


def test_figures_of_a_start_that_began_no_shard_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cluster(*given: object) -> None:
        raise ClusterUnavailable("no cluster")

    monkeypatch.setattr("medrl.cluster.shards.run_shards", no_cluster)
    for place in range(2):
        fill(tmp_path, place, shares()[place])
    (tmp_path / "source.jsonl").write_text("")
    knobs = ["placement=ray", "shards=2", f"folder={tmp_path}", f"rows.source={tmp_path / 'source.jsonl'}"]
    with pytest.raises(ClusterUnavailable, match="no cluster"):
        construct_shards(load_construction("problems", EXAMPLE, knobs))
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["rows"], report["failed"], report["complete"], report["this_start"]["rows"]) == (20, {}, False, 0)


def test_a_row_in_the_wrong_shard_is_refused_and_the_file_before_stays(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "before"}\n')
    right, wrong = shares()
    fill(tmp_path, 0, [*right, wrong[0]])
    fill(tmp_path, 1, wrong)
    with pytest.raises(DataError, match=f"shard-0-of-2/rows.jsonl holds the row '{wrong[0]}' of another shard"):
        join(tmp_path, 2)
    assert [row["id"] for row in read_jsonl(tmp_path / "rows.jsonl")] == ["before"]
    assert not list(tmp_path.glob(".*partial*"))


def test_a_folder_has_one_number_of_shards(tmp_path: Path) -> None:
    fill(tmp_path, 0, ["a"])
    (tmp_path / "shard-0-of-2.bak").mkdir()
    refuse_other_shards(tmp_path, 2)
    with pytest.raises(DataError, match="has shards of 2: go on with shards=2"):
        refuse_other_shards(tmp_path, 4)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "construction.json").write_text("{}")
    with pytest.raises(DataError, match="a construction without shards: go on with placement=local"):
        refuse_other_shards(alone, 2)


@pytest.mark.parametrize(
    ("knobs", "fault"),
    [
        (["placement=ray"], "placement=ray needs two at least"),
        (["shards=4"], "placement=ray runs them all, shard=0/4 the first one here"),
        (["placement=ray", "shards=4", "shard=1/4"], "one share alone; placement ray does all"),
        (["placement=ray", "shards=4", "cluster.max_restarts=-1"], "max_restarts"),
    ],
)
def test_knobs_that_do_not_go_together_are_told(knobs: list[str], fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        load_construction("problems", EXAMPLE, knobs)


def test_a_part_is_the_shard_that_a_command_of_its_own_would_do() -> None:
    whole = load_construction("problems", EXAMPLE, ["placement=ray", "shards=4", "folder=runs/a"])
    alone = load_construction("problems", EXAMPLE, ["shard=3/4", "folder=runs/a"])
    assert whole.part(3) == alone and whole.part(3).target == Path("runs/a/shard-3-of-4")
