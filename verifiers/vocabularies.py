"""Where vocabularies come from: medrl's own terms, the simulated clinic, and the user's files.

    vocabulary: medrl                          # medrl's own, some thousand concepts in English and Chinese
    vocabulary: [medrl, hospital.csv]          # with the user's beside them
    vocabulary: [medrl, doid.obo, RXNCONSO.RRF]

Read are JSON lines (see `medrl/data/terms/README.md`, or one JSON list of names a line), tables (.csv, .tsv: a column `name`
and perhaps `synonyms`, `abbreviations`, `kind`, `broader`, several values parted by "|"), OBO ontologies (names and EXACT
synonyms) and the RRF files of RxNorm and the UMLS, whose licences are the user's. A text file of another name holds one
concept a line, its names parted by tabs. What cannot be read as names is refused, since a name that is lost is noticed by
nobody: it only makes verifiers abstain.
"""

import csv
import gc
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from medrl.errors import DataError, MissingFile
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.indexing import Concept
from medrl.verifiers.typos import may_be_mended, prepare

Sources: TypeAlias = str | Sequence[str] | None
MEDRL, CLINIC = "medrl", "clinic"
_KEYS = {"en", "zh", "abbr", "usual", "brand", "kind", "broader"}
_COLUMNS = ("name", "synonyms", "abbreviations", "kind", "broader")
_LANGUAGES = {"ENG", "CHI", "en", "zh"}


def named(sources: Sources) -> tuple[str, ...]:
    """The sources of a knob `vocabulary` as a tuple; () for none.

    Raises:
        DataError: It is neither a text nor a list of texts.
    """
    if sources is None:
        return ()
    several = tuple(sources) if isinstance(sources, Sequence) and not isinstance(sources, str) else (sources,)
    if not all(isinstance(one, str) and one.strip() for one in several):
        raise DataError(f"vocabulary is {sources!r}; name medrl, clinic or files")
    return several


def vocabulary(sources: Sources) -> Vocabulary | None:
    """The vocabulary of these sources, or None where there are none. It is read once in a process."""
    if isinstance(sources, str) and sources in (MEDRL, CLINIC):
        return _read((sources,), (0,))
    several = named(sources)
    return _read(several, tuple(_stamp(source) for source in several)) if several else None


def _stamp(source: str) -> int:
    """What changes when a file does, so that a changed file is read again."""
    if source in (MEDRL, CLINIC):
        return 0
    path = Path(source).expanduser()
    if not path.is_file():
        raise MissingFile(f"the vocabulary {source!r} does not exist; name a file, or medrl, or clinic")
    return path.stat().st_mtime_ns


@lru_cache(maxsize=8)
def _read(sources: tuple[str, ...], stamps: tuple[int, ...]) -> Vocabulary:
    collects = gc.isenabled()
    gc.disable()  # some hundred thousand names and no garbage: looking for it would take a third of the time
    try:
        # Dysphasia, which a small vocabulary may lack, is no misspelt dysphagia.
        others = () if MEDRL in sources else (n for one in _bundled() for n in one.names if may_be_mended(n))
        known = Vocabulary.of((concept for source in sources for concept in concepts_of(source)), others)
        prepare(known)
    finally:
        if collects:
            gc.enable()
            gc.collect()  # now, and not in the middle of an answer
    return known


def concepts_of(source: str) -> Iterator[Concept]:
    """The concepts of one source.

    Raises:
        MissingFile: There is no such file.
        DataError: A line of it is broken, and the message names it; or there is no concept in it.
    """
    if source == MEDRL:
        yield from _bundled()
        yield from _clinic()
    elif source == CLINIC:
        yield from _clinic()
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingFile(f"the vocabulary {source!r} does not exist; name a file, or medrl, or clinic")
        readers: dict[str, Callable[[Path], Iterator[Concept]]] = {
            ".csv": _table,
            ".tsv": _table,
            ".obo": _obo,
            ".rrf": _rrf,
        }
        empty = True
        try:
            for concept in readers.get(path.suffix.lower(), _lines)(path):
                empty = False
                yield concept
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error
        if empty:
            raise DataError(
                f"{path} holds no concept; a table needs rows below its header, an RRF file names in English or Chinese "
                "(ENG, CHI) that are not suppressed, any other file one concept a line"
            )


def _bundled() -> Iterator[Concept]:
    folder = Path(str(files("medrl.data") / "terms"))
    for path in sorted(folder.glob("*.jsonl")):
        yield from _lines(path)


def _clinic() -> Iterator[Concept]:
    from medrl.data.clinic.world import load_world

    kinds = {"Disease": "disease", "Drug": "drug", "Finding": "finding", "Test": "test", "Procedure": "procedure"}
    for _, one in load_world().concepts():
        forms = (*one.forms("en"), *one.forms("zh"))
        short = tuple(form for form in forms if _is_short(form))
        names = tuple(form for form in forms if form not in short) or forms
        yield Concept(names, short, kinds.get(type(one).__name__, ""))


def _is_short(name: str) -> bool:
    """Whether a name is an abbreviation, which its capitals tell: COPD, T2DM, HbA1c."""
    return len(name) <= 10 and " " not in name and sum(c.isupper() or c.isdigit() for c in name) * 2 >= len(name) > 1


def _lines(path: Path) -> Iterator[Concept]:
    """JSON objects as medrl's own terms have them, JSON lists of names, or names parted by tabs."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row: Any = line.split("\t")
        if line.lstrip().startswith(("[", "{")):
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(f"{where} is no JSON: {error}") from error
        yield _from_object(row, where) if isinstance(row, dict) else _from_names(row, where)


def _from_names(row: Any, where: str) -> Concept:
    if not isinstance(row, list) or not row or not all(isinstance(name, str) for name in row):
        raise DataError(f"{where}: every name of a concept must be a text")
    names = [name.strip() for name in row if name.strip()]
    short = tuple(name for name in names[1:] if _is_short(name))
    if not names:
        raise DataError(f"{where} has no name")
    return Concept(tuple(name for name in names if name not in short), short)


def _from_object(row: dict[str, Any], where: str) -> Concept:
    unknown = set(row) - _KEYS
    if unknown:
        raise DataError(f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(_KEYS))}")
    lists = {key: row.get(key, []) for key in _KEYS - {"kind"}}
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
            raise DataError(f"{where}: {key} must be a list of names")
    if not lists["en"] and not lists["zh"]:
        raise DataError(f"{where} has no name in en or zh")
    # "E. coli" is a name with small letters, which a text may hold in any capitals.
    short = [name for name in lists["abbr"] if not re.search(r"[a-z]{3}", name)]
    spelled = [name for name in lists["abbr"] if name not in short]
    names = (*lists["en"], *spelled, *lists["brand"], *lists["zh"])
    short += [name for name in lists["usual"] if name not in short]
    return Concept(names, tuple(short), str(row.get("kind", "")), tuple(lists["broader"]), tuple(lists["usual"]))


def _table(path: Path) -> Iterator[Concept]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            _check_columns(path, rows.fieldnames or [])
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                further = [cell for cell in row.pop(None, None) or () if cell.strip()]
                if further:
                    raise DataError(
                        f"{where} has cells beyond its columns: {further[0]!r:.60}; part several names by '|', and quote a "
                        "cell that holds a comma"
                    )
                if any("\n" in cell or "\r" in cell for cell in row.values() if cell):
                    raise DataError(f"{where}: a cell goes over several lines; see whether a quote is left open above")
                cells = {key: _values(row.get(key)) for key in ("name", "synonyms", "abbreviations", "broader")}
                if not cells["name"]:
                    raise DataError(f"{where} has no name")
                names = (*cells["name"], *cells["synonyms"])
                yield Concept(names, cells["abbreviations"], (row.get("kind") or "").strip(), cells["broader"])
        except csv.Error as error:  # an open quote, text behind a closed one, a cell above 131,072 characters
            raise DataError(
                f"{path}, line {rows.line_num + 1} cannot be read: {error}; is a quote left open?"
            ) from error


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if "name" not in columns:
        raise DataError(f"{path} has the columns {', '.join(columns) or 'none'}; one must be `name`")
    wrong = [repr(one) for one in dict.fromkeys(columns) if one not in _COLUMNS or columns.count(one) > 1]
    if wrong:
        raise DataError(
            f"{path} has unknown or repeated columns: {', '.join(wrong)}; known, each once: {', '.join(_COLUMNS)}"
        )


def _values(cell: str | None) -> tuple[str, ...]:
    return tuple(value.strip() for value in (cell or "").split("|") if value.strip())


_ESCAPED = re.compile(r'\\(["!{},:()\[\]\\])')
_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" EXACT ?(\w*)')


def _obo(path: Path) -> Iterator[Concept]:
    """The terms of an OBO file (format 1.2 and 1.4) that are not obsolete: name, EXACT synonyms, is_a."""
    terms: list[tuple[str, list[str], list[str], list[str]]] = []
    for block in f"\n{path.read_text(encoding='utf-8-sig')}".split("\n[")[1:]:
        lines = block.splitlines() or [""]
        fields = [(key, _plain(value)) for key, _, value in (line.partition(": ") for line in lines[1:])]
        if lines[0].strip() != "Term]" or ("is_obsolete", "true") in fields:
            continue
        name = next((value for key, value in fields if key == "name"), "")
        identity = next((value for key, value in fields if key == "id"), "")
        if not name:
            raise DataError(f"{path}: the term {identity or lines[:3]!r} has no name")
        found = [(_ESCAPED.sub(r"\1", m[1]).strip(), m[2]) for line in lines if (m := _SYNONYM.match(line))]
        if not all(text for text, _ in found):
            raise DataError(f"{path}: a synonym of the term {identity or name!r} is empty")
        short = [text for text, kind in found if kind == "ABBREVIATION" or _is_short(text)]
        above = [value for key, value in fields if key == "is_a"]
        terms.append((identity, [name, *(text for text, _ in found if text not in short)], short, above))
    if not terms:
        raise DataError(f"{path} has no [Term]; is it an OBO file?")
    preferred = {identity: names[0] for identity, names, _, _ in terms}
    for _, names, short, above in terms:
        yield Concept(tuple(names), tuple(short), "", tuple(preferred[one] for one in above if one in preferred))


def _plain(value: str) -> str:
    """A value of an OBO file without its comment (" ! ...") and its modifiers (" {...}")."""
    return _ESCAPED.sub(r"\1", value.split(" ! ")[0].split(" {")[0].strip())


def _rrf(path: Path) -> Iterator[Concept]:
    """MRCONSO.RRF (UMLS) or RXNCONSO.RRF (RxNorm): the names of each concept in English and Chinese, preferred first.

    Suppressed names are left out. Brand names of RxNorm are concepts of their own; RXNREL.RRF beside the file joins those
    of one ingredient to it.
    """
    names: dict[str, dict[str, bool]] = {}
    kinds: dict[str, str] = {}
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            cells = line.rstrip("\n").split("|")
            if len(cells) < 18:
                raise DataError(f"{path}, line {number} has {len(cells)} columns where MRCONSO and RXNCONSO have 18")
            concept, language, status, preferred, source, term_type, text, suppress = (
                cells[i] for i in (0, 1, 2, 6, 11, 12, 14, 16)
            )
            if language not in _LANGUAGES or suppress in ("O", "E", "Y"):
                continue
            if not text.strip():
                raise DataError(f"{path}, line {number} has no name (column STR)")
            if source == "RXNORM" and term_type in ("BN", "IN", "PIN"):
                kinds[concept] = term_type
            names.setdefault(concept, {})[text] = status == "P" and preferred == "Y"
    brands = _tradenames(path.with_name("RXNREL.RRF"), kinds)
    for brand, ingredient in brands.items():
        names.setdefault(ingredient, {}).update(dict.fromkeys(names.pop(brand, {}), False))
    for found in names.values():
        ordered = sorted(found, key=lambda name: not found[name])
        short = tuple(name for name in ordered[1:] if _is_short(name))
        yield Concept(tuple(name for name in ordered if name not in short), short)


def _tradenames(path: Path, kinds: dict[str, str]) -> dict[str, str]:
    """Each brand name's concept to that of its ingredient, where it has only one."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        cells = line.split("|")
        if len(cells) > 7 and cells[7] in ("tradename_of", "has_tradename"):
            pair = sorted((cells[0], cells[4]), key=lambda one: kinds.get(one) != "BN")
            if kinds.get(pair[0]) == "BN" and kinds.get(pair[1]) == "IN":
                found.setdefault(pair[0], set()).add(pair[1])
    return {brand: next(iter(ingredients)) for brand, ingredients in found.items() if len(ingredients) == 1}


def digest_of(sources: Sources) -> str:
    """What a verifier's fingerprint says of its vocabulary; "" for none."""
    known = vocabulary(sources)
    return known.fingerprint if known else ""
