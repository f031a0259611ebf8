"""Chat models that write dialogues as constructions ask for them, for a `ChatServer`, and the recipes that ask."""

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chat_server import ChatServer

from medrl.commands.construct_rows import construct_rows
from medrl.files import read_jsonl
from medrl.recipes.construction import load_construction

SLOT = re.compile(r"=== (?P<code>[0-9a-f]{16}) (?P<name>[A-Z]+) ===\n(?P<text>(?:\| .*\n)*?)=== (?P=code) END ===")
ROLE = {"instructions": "writer", "conversations": "patient", "polish": "rewriter"}


def slots(request: Mapping[str, Any]) -> dict[str, str]:
    text = request["messages"][-1]["content"] + "\n"
    return {m["name"]: "\n".join(line[2:] for line in m["text"].splitlines()) for m in SLOT.finditer(text)}


def answers(*texts: str) -> Callable[[dict[str, Any], int], str]:
    """The n-th request gets the n-th text, and the last one for ever."""
    return lambda request, n: texts[min(n, len(texts) - 1)]


def recipe(tmp_path: Path, kind: str, url: str, rows: Any) -> Path:
    """A recipe file; `rows` are a number for instructions, else the rows of a source."""
    source = tmp_path / "source.jsonl"
    if not isinstance(rows, int):
        source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    path = tmp_path / f"{kind}.yaml"
    given = f"limit: {rows}" if isinstance(rows, int) else f"source: {source}"
    path.write_text(
        f"name: d\nfolder: {tmp_path / 'out'}\nrows: {{{given}}}\n"
        f"stage:\n  {ROLE[kind]}:\n    client: {{type: openai, model: w, base_url: '{url}', max_retries: 0, timeout: 5.0}}\n"
        "    temperature: 0.8\n    prompt_price: 1000.0\nconcurrency: 4\n",
        "utf-8",
    )
    return path


def construct(tmp_path: Path, kind: str, server: ChatServer, rows: Any, *overrides: str) -> Any:
    return construct_rows(load_construction(kind, recipe(tmp_path, kind, server.url, rows), overrides))


def made(tmp_path: Path, name: str = "rows") -> list[dict[str, Any]]:
    path = tmp_path / "out" / f"{name}.jsonl"
    return read_jsonl(path) if path.exists() else []


def ask_and_answer(request: dict[str, Any], n: int) -> str:
    """A new question for each number, and an answer that quotes its question."""
    shown = slots(request)
    if "QUESTION" in shown:
        return json.dumps({"reply": f"About {shown['QUESTION']!r}: since when?"})
    draw = random.Random(shown["NUMBER"])
    return json.dumps({"instruction": " ".join(f"w{draw.randrange(10**6)}" for _ in range(8)) + "?"})


CASE = {
    "id": "c1",
    "case": "Chest pain since an hour, sweating. No allergies.",
    "findings": "STEMI; call an ambulance.",
}


def play(ends_at: int) -> Callable[[dict[str, Any], int], str]:
    """A patient and a doctor who end at an exchange."""

    def reply(request: dict[str, Any], n: int) -> str:
        shown = slots(request)
        lines = [line for line in shown["DIALOGUE"].splitlines() if line != "-"]
        who = "patient" if "CASE" in shown else "doctor"
        assert ("CASE" in shown) != ("FINDINGS" in shown)
        assert len(lines) % 2 == (who == "doctor")
        ends = {"ends": len(lines) // 2 + 1 >= ends_at} if who == "doctor" else {}
        return json.dumps({"say": f"{who} says {len(lines)}", **ends})

    return reply


def talk(request: dict[str, Any], n: int) -> str:
    """Whatever is asked for."""
    shown = slots(request)
    if "REPLY" in shown:
        return json.dumps({"reply": f"Dear patient, {shown['REPLY']}"})
    return play(2)(request, n) if "DIALOGUE" in shown else ask_and_answer(request, n)


def source_of(kind: str, count: int) -> Any:
    if kind == "polish":
        return [{"id": f"r{i}", "data": [f"问：Case {i}.", "答：Rest."]} for i in range(count)]
    return count if kind == "instructions" else [{**CASE, "id": f"r{i}", "case": f"Case {i}."} for i in range(count)]
