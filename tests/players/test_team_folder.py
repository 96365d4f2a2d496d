"""Teams in folders: played by name, each persona under its adapter; what is wrong with a folder is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mascot_env import catalog
from mascot_env.errors import CatalogError, ConfigError, LLMError, UnknownIdError
from mascot_env.players import team_folder
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user

pytest.importorskip("peft", reason="peft is not installed: pip install -e .[hf]")

from tests.llm import tiny  # noqa: E402

SUPPORT, MEETING = catalog.domain("support"), catalog.domain("meeting")
CARD = {
    "format": 1,
    "name": "tiny",
    "domain": "support",
    "personas": ["anchor", "guide"],
    "speaks": {"max_tokens": 16},
    "directs": {"max_tokens": 8, "temperature": 0.5},
    "directing": True,
}


def made(folder: Path, **changed: Any) -> Path:
    tiny.save(folder / "speakers")
    for seed, name in enumerate(("adapters/anchor", "adapters/guide", "director")):
        tiny.adapter(folder / "speakers", folder / name, seed)
    (folder / "team.json").write_text(json.dumps(CARD | {"director": f"hf:{folder / 'speakers'}"} | changed))
    return folder


def test_a_team_is_played_by_its_name(tmp_path: Path) -> None:
    team = f"team:{made(tmp_path)}"
    speakers, director = resolve_speakers(team, SUPPORT), resolve_director(team, SUPPORT)
    assert speakers is resolve_speakers(team, SUPPORT)  # once in a process, so that its batches are shared
    assert isinstance(speakers, team_folder.LLMSpeaker) and speakers.adapters == {"anchor": "anchor", "guide": "guide"}
    assert speakers.max_tokens == 16 and speakers.llm.adapters == ("anchor", "guide")
    assert isinstance(director, team_folder.LLMDirector) and director.adapter_name == "director" and director.temperature == 0.5
    as_nano = resolve_director(f"team:{made(tmp_path / 'again', director='nano:' + str(tmp_path / 'speakers'), directing=False)}", SUPPORT)
    assert isinstance(as_nano, team_folder.LLMDirector) and as_nano.adapter_name is None and not as_nano.llm.adapters
    with pytest.raises(ConfigError, match="of the domain support"):
        resolve_speakers(team, MEETING)
    with pytest.raises(ConfigError, match="nobody of this domain is called that.*anchor.*guide"):
        resolve_speakers(f"team:{made(tmp_path / 'moved', domain='meeting')}", MEETING)
    with pytest.raises(UnknownIdError, match="unknown player"):
        resolve_user(team)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"format": 2}, "of another release"),
        ({"personas": ["../../elsewhere"]}, "no persona is called that"),
        ({"personas": "anchor"}, "personas"),
        ({"personas": ["anchor", "guide", "anchor"]}, "named twice"),
        ({"speaks": {"max_tokens": "16"}}, "max_tokens"),
        ({"run_this": "rm"}, "run_this"),
        ({"speaks": {"max_tokens": 0}}, "max_tokens"),
        ({"speaks": {"max_tokens": 10**9}}, "max_tokens"),
        ({"speaks": {"max_tokens": 8, "temperature": -1.0}}, "temperature"),
        ({"speaks": {"max_tokens": 8, "temperature": float("nan")}}, "temperature"),
        ({"directs": {"max_tokens": 8, "top_p": 1.5}}, "top_p"),
        ({"directs": {"max_tokens": 8, "budget": -1}}, "budget"),
        ({"director": "own:os:getcwd"}, "director"),
        ({"director": "openai:m@http://127.0.0.1:9/v1"}, "director"),
        ({"director": "hf:"}, "director"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    (tmp_path / "team.json").write_text(json.dumps(CARD | changed))
    with pytest.raises(CatalogError, match=named):
        team_folder.read(tmp_path)


@pytest.mark.parametrize("file", ["speakers/config.json", "adapters/anchor/adapter_config.json"])
@pytest.mark.parametrize(
    "text", ["[]", "3", "{", '{"peft_type": "NOPE", "model_type": "NOPE"}', '{"peft_type": "LORA", "r": "x", "model_type": []}']
)
def test_a_damaged_part_is_named(file: str, text: str, tmp_path: Path) -> None:
    (made(tmp_path) / file).write_text(text)
    with pytest.raises(LLMError, match="cannot be loaded"):
        resolve_speakers(f"team:{tmp_path}", SUPPORT)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no team is there.*experiments\.team"):
        resolve_speakers(f"team:{tmp_path}", SUPPORT)
    (tmp_path / "team.json").write_text(json.dumps(CARD))
    with pytest.raises(LLMError):
        resolve_speakers(f"team:{tmp_path}", SUPPORT)
