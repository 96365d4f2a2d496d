"""Files of the wrong kind are refused with a sentence, and no bytes make a loader raise anything else."""

from __future__ import annotations

import builtins
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mascot_env.catalog import datasets
from mascot_env.catalog.datasets import hub, reading
from mascot_env.catalog.datasets.empathetic_dialogues import HEADER
from mascot_env.errors import CatalogError, ConfigError, DependencyError, MascotError, UnknownIdError

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ED_ROW = "c:1,1,proud,We planted a hedge.,0,The hedge has grown at last.,,"
MEETING = {
    "topic_list": [{"topic": "Hedges", "relevant_text_span": [["0", "1"]]}],
    "general_query_list": [{"query": "What was said?", "answer": "-"}],
    "specific_query_list": [{"query": "Who cuts it?", "answer": "-", "relevant_text_span": [["0", "1"]]}],
    "meeting_transcripts": [{"speaker": "Una", "content": "I cut the hedge on Monday."}, {"speaker": "Per", "content": "Thank you."}],
}
SUPPORT = {
    "emotion_type": "fear",
    "situation": "The hedge hides a wasp nest.",
    "dialog": [{"speaker": "seeker", "content": "Help, please, it hums."}],
}

WRONG: dict[str, bytes] = {
    "image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)),
    "array": json.dumps([{"a": 1}, 2]).encode(),
    "object": b'{"a": 1}',
    "empty": b"",
    "blank": b"\n\n  \n",
    "latin1": "conv_id,caf\xe9\n".encode("latin-1"),
    "prose": b"Dear reader,\nthis is a letter.\n",
    "other_csv": b"id,text\n1,hello\n",
    "nul": b"\x00" * 4096,
    "deep": b"[" * 200_000,
    "long_number": b"[" + b"9" * 10_000 + b"]",
}
LOADERS: dict[str, Any] = {
    "empathetic_dialogues": lambda path: datasets.load_empathetic_dialogues(path, "train"),
    "qmsum": lambda path: datasets.load_qmsum(path, "train", domain="product"),
    "esconv": datasets.load_esconv,
    "load": datasets.load,
}


def write(folder: Path) -> dict[str, Path]:
    """A good file of each kind."""
    files = {
        name: folder / name / file
        for name, file in (("empathetic_dialogues", "train.csv"), ("qmsum", "train.jsonl"), ("esconv", "ESConv.json"))
    }
    for file in files.values():
        file.parent.mkdir(parents=True)
    files["empathetic_dialogues"].write_text(f"{HEADER}\n{ED_ROW}\n")
    files["qmsum"].write_text(json.dumps(MEETING) + "\n")
    files["esconv"].write_text(json.dumps([SUPPORT]))
    return files


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_kind_of_file(tmp_path: Path, loader: str, kind: str) -> None:
    for name in ("train.bin", "part.csv", "train.jsonl", "x.json"):
        file = tmp_path / name
        file.write_bytes(WRONG[kind])
        with pytest.raises(CatalogError) as caught:
            LOADERS[loader](file)
        message = str(caught.value)
        assert str(file) in message and message.endswith(".") and len(message) < 700


def test_wrong_file_without_a_split_is_still_a_catalog_error(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(WRONG["image"])
    for loader in (datasets.load_empathetic_dialogues, datasets.load_qmsum):
        with pytest.raises(CatalogError, match="UTF-8"):
            loader(file)


def test_each_loader_refuses_the_files_of_the_others(tmp_path: Path) -> None:
    files = write(tmp_path)
    for name, file in files.items():
        assert datasets.kind_of(file) == name == datasets.load(file, **({"domain": "product"} if name == "qmsum" else {})).report.source
        for other in set(files) - {name}:
            with pytest.raises(CatalogError):
                LOADERS[other](file)


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for loader in LOADERS.values():
        with pytest.raises(CatalogError, match="holds none|holds no|none of the known"):
            loader(tmp_path / "empty")
        with pytest.raises(CatalogError, match="no such file"):
            loader(tmp_path / "absent")
    files = write(tmp_path)
    assert {datasets.kind_of(file.parent) for file in files.values()} == set(files)
    both = tmp_path / "both"
    both.mkdir()
    for name in ("empathetic_dialogues", "esconv"):
        (both / files[name].name).write_bytes(files[name].read_bytes())
    with pytest.raises(CatalogError, match="several data sets .*load_empathetic_dialogues or load_esconv"):
        datasets.load(both)
    with pytest.raises(ConfigError, match="no such option"):
        datasets.load(files["esconv"], split="train")


@pytest.mark.parametrize("loader", LOADERS)
def test_fifty_megabytes_on_one_line(tmp_path: Path, loader: str) -> None:
    file = tmp_path / "train.csv"
    with file.open("wb") as handle:
        handle.write(b'[{"situation": "')
        handle.truncate(50 << 20)  # the rest is a hole, read as NUL bytes
    with pytest.raises(CatalogError):
        LOADERS[loader](file)


def test_a_long_line_among_good_ones_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path)["empathetic_dialogues"]
    with file.open("ab") as handle:
        handle.truncate(reading.MAX_LINE + (1 << 20))
    with pytest.raises(CatalogError, match=r"train.csv:3: a line longer than 8 MiB"):
        datasets.load(file)


def test_invalid_utf8_names_the_line(tmp_path: Path) -> None:
    for file in write(tmp_path).values():
        file.write_bytes(file.read_bytes() + b"\xff\xfe\n")
    for name, line in (("empathetic_dialogues", 3), ("qmsum", 2)):
        with pytest.raises(CatalogError, match=f":{line}: not UTF-8 text"):
            LOADERS[name](next((tmp_path / name).iterdir()))
    with pytest.raises(CatalogError, match="not UTF-8 text"):
        datasets.load_esconv(tmp_path / "esconv")


def test_nothing_usable_says_what_the_first_problem_was(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text(f"{HEADER}\nc:1,one,proud,p,0,hello,,\n")
    with pytest.raises(CatalogError, match=r"train.csv:2: no dialogue could be read here; the first problem is: no integer"):
        datasets.load_empathetic_dialogues(file)
    file.write_text(f"{HEADER}\n")
    with pytest.raises(CatalogError, match="it holds none"):
        datasets.load_empathetic_dialogues(file)


def test_nothing_usable_in_a_folder_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"{HEADER}\n{ED_ROW.replace('proud', 'grumpy')}\n")
    (tmp_path / "valid.csv").write_text(f"{HEADER}\n")
    with pytest.raises(CatalogError, match=r"/train.csv:2: .* an emotion that the valence map lacks.*'grumpy'"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("path", [None, 5, b"train.csv", ["train.csv"]], ids=str)
def test_what_is_no_path_is_refused(path: Any) -> None:
    for loader in (*LOADERS.values(), datasets.kind_of):
        with pytest.raises(ConfigError, match="path: a path is needed"):
            loader(path)
    with pytest.raises(ConfigError, match="valence_map"):
        datasets.load_empathetic_dialogues("train.csv", valence_map=5)  # type: ignore[arg-type]


def test_names_in_the_data_open_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path)
    path = "../../../../etc/passwd"
    files["empathetic_dialogues"].write_text(f"{HEADER}\n{path},1,proud,{path},0,{path},{path},{path}\n")
    files["qmsum"].write_text(json.dumps(MEETING | {"general_query_list": [{"query": path}], "file": path}))
    files["esconv"].write_text(json.dumps([SUPPORT | {"conv_id": path, "situation": path}]))
    opened: list[str] = []
    real, real_path = builtins.open, Path.open
    monkeypatch.setattr(builtins, "open", lambda file, *a, **k: (opened.append(str(file)), real(file, *a, **k))[1])
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (opened.append(str(self)), real_path(self, *a, **k))[1])
    for name, file in files.items():
        LOADERS[name](file)
    assert opened and not any("passwd" in name for name in opened)


def test_options_are_checked(tmp_path: Path) -> None:
    file = write(tmp_path)["qmsum"]
    for options in ({"domain": "circus"}, {"domain": "product", "excerpt_tokens": 0}, {"domain": "product", "split": "tset"}, {}):
        with pytest.raises(ConfigError):
            datasets.load_qmsum(file, **options)


# ---------------------------------------------------------------- fuzz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*MEETING, *SUPPORT, "speaker", "content", "query"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def mutate(base: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The record with one to three of its parts replaced by any JSON value."""
    record = json.loads(json.dumps(base))
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = record
        for _ in range(4):
            keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
                at[key] = data.draw(JSON)
                break
            at = at[key]
    return record  # type: ignore[no-any-return]


def outcome(loader: str, file: Path) -> None:
    """Either a load whose numbers agree, or one of our errors."""
    try:
        loaded = LOADERS[loader](file)
    except MascotError:
        return
    report = loaded.report
    assert report.read >= report.kept == len(loaded.scenarios) == len({s.id for s in loaded.scenarios})
    for scenario in loaded.scenarios:
        assert scenario.opening.strip() and len(scenario.summary) <= 300 and not scenario.needs
        json.dumps(scenario.opening).encode()
        scenario.opening.encode("utf-8")


@QUIET
@given(st.data())
def test_fuzz_records(tmp_path: Path, data: st.DataObject) -> None:
    lines = tmp_path / "train.jsonl"
    lines.write_text(json.dumps(MEETING) + "\n" + json.dumps(mutate(MEETING, data)) + "\n")
    outcome("qmsum", lines)
    assert len(datasets.load_qmsum(lines, domain="product").scenarios) >= 2
    array = tmp_path / "x.json"
    array.write_text(json.dumps([SUPPORT, mutate(SUPPORT, data)]))
    outcome("esconv", array)
    assert len(datasets.load_esconv(array).scenarios) >= 1


@QUIET
@given(st.lists(st.lists(st.text(max_size=8) | st.sampled_from(["c:1", "1", "2", "proud", "0"]), min_size=6, max_size=10), max_size=6))
def test_fuzz_rows(tmp_path: Path, rows: list[list[str]]) -> None:
    file = tmp_path / "train.csv"
    text = "\n".join([HEADER, ED_ROW, *(",".join(fields) for fields in rows)])
    file.write_bytes(text.encode("utf-8", "replace"))
    outcome("empathetic_dialogues", file)
    assert datasets.load_empathetic_dialogues(file).scenarios


@QUIET
@given(st.binary(max_size=200), st.sampled_from(["", HEADER + "\n", '{"topic_list": ', '[{"situation": ']))
def test_fuzz_bytes(tmp_path: Path, raw: bytes, start: str) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(start.encode() + raw)
    for loader in LOADERS:
        outcome(loader, file)


# ---------------------------------------------------------------- the hub, with a stand-in


def test_hub_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        dict(zip(HEADER.split(","), ["c:1", i, "proud", "p_comma_ q", 7 * (i % 2), f"line {i}", "", ""], strict=True)) for i in (1, 2, 3)
    ]
    asked: list[Any] = []
    fake = types.ModuleType("datasets")
    fake.load_dataset = lambda *a, **k: (asked.append((a, k)), {"train": rows, "validation": rows[:1]})[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)
    loaded = datasets.load_from_hub("empathetic_dialogues", split="train")
    assert loaded.scenarios[0].details == ("line 3",) and loaded.scenarios[0].summary == "p, q" and loaded.report.kept == 1
    assert asked == [(("facebook/empathetic_dialogues",), {"revision": "refs/convert/parquet"})]


def test_hub_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path)
    (tmp_path / "copy" / "data" / "Product" / "jsonl").mkdir(parents=True)
    (tmp_path / "copy" / "data" / "Product" / "jsonl" / "train.jsonl").write_bytes(files["qmsum"].read_bytes())
    fake = types.ModuleType("huggingface_hub")
    fake.snapshot_download = lambda repo, **k: str(files["esconv"].parent if repo == "thu-coai/esconv" else tmp_path / "copy")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    assert datasets.load_from_hub("esconv").report.kept == 1
    assert datasets.load_from_hub("qmsum", repo="someone/qmsum").report.kept == 2


def test_hub_offline_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to the hub")

    for package, function, name in (
        ("datasets", "load_dataset", "empathetic_dialogues"),
        ("huggingface_hub", "snapshot_download", "esconv"),
    ):
        fake = types.ModuleType(package)
        setattr(fake, function, refuse)
        monkeypatch.setitem(sys.modules, package, fake)
        with pytest.raises(CatalogError, match="could not be fetched .*no route.* pass its path"):
            datasets.load_from_hub(name)
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
        with pytest.raises(DependencyError, match=package):
            datasets.load_from_hub(name)
    with pytest.raises(UnknownIdError, match="esconv"):
        datasets.load_from_hub("imagenet")
    for options in ({"name": "qmsum"}, {"name": "esconv", "split": "train"}):
        with pytest.raises(ConfigError):
            datasets.load_from_hub(**options)
    assert set(hub.REPOS) == {"empathetic_dialogues", "esconv", "qmsum"}
