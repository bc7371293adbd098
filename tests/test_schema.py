"""The schema of an agent's JSON file, against files and against the code that reads them."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from agent_cases import CARD, CASES
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

import rltransfer_zoo
from rltransfer.agents import Agent, Card, Normalization, Score, bundle, document, spaces
from rltransfer.agents.hyperparameters import NAMES
from rltransfer.agents.multitask import codec
from rltransfer.agents.policies import ALGORITHMS
from rltransfer.errors import TransferError

SHIPPED = resources.files("rltransfer.agents")
SCHEMA: dict[str, Any] = json.loads(SHIPPED.joinpath("schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
ZOO = sorted(Path(rltransfer_zoo.__file__).parent.glob("*.json"))
CARTPOLE = next(path for path in ZOO if path.stem == "cartpole")


def names(kind: str) -> set[str]:
    return set(SCHEMA["$defs"][kind]["properties"])


def sealed(agent: Agent) -> dict[str, Any]:
    return json.loads(bundle.seal(*document.write(agent))[1])


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == bundle.VERSION
    assert SCHEMA["properties"]["format"]["const"] == bundle.FORMAT


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_agents_of_the_zoo_fit(path: Path) -> None:
    VALIDATOR.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("case", CASES)
def test_agents_that_are_saved_fit(case: str) -> None:
    VALIDATOR.validate(sealed(Agent.from_model(CASES[case](), card=CARD)))


def test_agents_with_scores_fit() -> None:
    score = Score(mean=1.0, ci_low=0.0, ci_high=2.0, episodes=5, deterministic=True)
    agent = Agent.from_model(CASES["box"](), card=CARD)
    VALIDATOR.validate(sealed(agent.with_card(score=score)))
    VALIDATOR.validate(sealed(agent.with_card(scores={"CartPole-v1": score})))


def test_it_names_the_fields_that_the_code_knows() -> None:
    """A field that is added to the code and not to the schema is found here."""
    assert set(SCHEMA["properties"]) == set(document._FIELDS)
    assert names("card") == {field.name for field in dataclasses.fields(Card)}
    assert names("score") == {field.name for field in dataclasses.fields(Score)}
    assert names("hyperparameters") == set(NAMES)
    assert names("normalization") == {field.name for field in dataclasses.fields(Normalization)}
    assert names("task") == set(codec._KINDS)
    kinds = SCHEMA["$defs"]["space"]["oneOf"]
    assert {one["properties"]["type"]["const"] for one in kinds} == set(spaces._CODECS)
    assert set(kinds[0]["properties"]["dtype"]["enum"]) == spaces._DTYPES
    assert set(SCHEMA["properties"]["algorithm"]["enum"]) == set(ALGORITHMS)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all fields in a document."""
    if isinstance(data, dict):
        for key, part in data.items():
            yield (*path, key)
            yield from places(part, (*path, key))


#: Fields by names of the file's own, any of which may be missing.
FREE = {"versions", "policy_kwargs"}
FIELDS = [p for p in places(json.loads(CARTPOLE.read_text())) if p[-2:-1] != ("versions",)]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_a_missing_field_fails(path: tuple[str, ...]) -> None:
    data = json.loads(CARTPOLE.read_text())
    del at(data, path[:-1])[path[-1]]
    with pytest.raises(ValidationError):
        VALIDATOR.validate(data)


OBJECTS = [(), *(p for p in FIELDS if isinstance(at(json.loads(CARTPOLE.read_text()), p), dict))]


@pytest.mark.parametrize(
    "path", [p for p in OBJECTS if p[-1:] not in [(f,) for f in FREE]], ids=str
)
def test_an_unknown_field_fails(path: tuple[str, ...]) -> None:
    data = json.loads(CARTPOLE.read_text())
    at(data, path)["surprise"] = 1
    with pytest.raises(ValidationError):
        VALIDATOR.validate(data)


WRONG: list[tuple[tuple[Any, ...], Any]] = [
    (("card", "steps"), -1),
    (("card", "score", "episodes"), 0),
    (("card", "name"), ""),
    (("algorithm",), "dqn"),
    (("hyperparameters", "gamma"), 1.5),
    (("hyperparameters", "n_steps"), 0),
    (("hyperparameters", "learning_rate"), "fast"),
    (("hyperparameters", "learning_rate", "end_fraction"), 0),
    (("observation_space", "type"), "Sphere"),
    (("observation_space", "dtype"), "complex64"),
    (("action_space", "n"), 0),
    (("policy_kwargs",), {"$class": 3}),
    (("normalization",), {"obs": True}),
    (("optimizer",), 1),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=str)
def test_what_the_reader_refuses_does_not_fit(path: tuple[Any, ...], value: Any) -> None:
    tensors, good = bundle.read(CARTPOLE)
    data = copy.deepcopy(good)
    at(data, path[:-1])[path[-1]] = value
    with pytest.raises(ValidationError):
        VALIDATOR.validate(data)
    with pytest.raises(TransferError):
        Agent(**document.read(tensors, data))


def test_the_page_names_every_field() -> None:
    page = SHIPPED.joinpath("FORMAT.md").read_text()
    for name in (*SCHEMA["properties"], *names("card"), *names("normalization"), *NAMES):
        assert f"`{name}`" in page, name
