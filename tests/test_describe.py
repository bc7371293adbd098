from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.utils import LinearSchedule
from transfer_cases import KINDS, SETTINGS, SMALL, adapted, source, toy

import rltransfer as rlt
from rltransfer.describe import HEADER, describe
from rltransfer.errors import BadArgument
from rltransfer.presets import PRESETS
from rltransfer.pretrain import fresh
from rltransfer.recipe import Recipe


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """The table of a description, by group and column."""
    lines = [line.split("|") for line in text.splitlines() if line.count("|") == len(HEADER) - 1]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert tuple(cells[0]) == HEADER
    return {row[0]: dict(zip(HEADER, row, strict=True)) for row in cells[1:]}


def notes_of(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines()[1:] if "|" not in line and "-+-" not in line]
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_policy_is_described_before_and_after_learning(kind: str) -> None:
    with adapted(kind, KINDS[kind].task(), Recipe(lr_decay=0.5)) as model:
        for _ in range(2):
            text = describe(model)
            rows = rows_of(text)
            assert list(rows) == list(rlt.layer_groups(model.policy))
            count = sum(int(row["parameters"].replace(",", "")) for row in rows.values())
            assert count == sum(p.numel() for p in model.policy.parameters())
            assert all(row["weights from"] == "small" for row in rows.values())
            assert not any(line != line.rstrip() for line in text.splitlines())
            model.learn(32)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "explore"])
def test_the_recipe_is_printed_as_it_was_given(preset: str) -> None:
    toy()  # the source's own task
    with adapted("discrete", toy(flip=True), preset) as model:
        printed = json.loads(notes_of(describe(model))["recipe"])
        if PRESETS[preset].select:
            assert Recipe.from_dict(printed) == model.transfer.report.recipe
            words = "zero-shot score" if preset in ("auto", "by-zero-shot") else "similarity"
            assert words in notes_of(describe(model))["auto"]
        else:
            assert printed == PRESETS[preset].to_dict()


def test_scratch_is_fresh_throughout() -> None:
    with adapted("normalized", KINDS["normalized"].task(), "scratch") as model:
        text = describe(model)
        assert {row["weights from"] for row in rows_of(text).values()} == {"fresh"}
        notes = notes_of(text)
        assert notes["critic"] == "fresh"
        assert notes["observation statistics"] == notes["return statistics"] == "fresh"
        assert notes["log standard deviation"] == "reset to 0"


def test_where_each_group_comes_from_is_said() -> None:
    recipe = Recipe(pad_inputs=True, outputs=[0, None, 1], critic="refit", reset=["actor.1"])
    with adapted("discrete", toy("v6", "d3"), recipe) as model:
        text = describe(model)
        assert {name: row["weights from"] for name, row in rows_of(text).items()} == {
            "actor.0": "small, padded",
            "critic.0": "small, padded",
            "actor.1": "fresh",
            "critic.1": "small",
            "actor.head": "small, mapped",
            "critic.head": "refit to returns",
        }
        notes = notes_of(text)
        assert notes["critic"].startswith("head refitted by ridge regression")
        assert "Discrete(2)" in notes["action space"] and "Discrete(3)" in notes["action space"]


def test_when_each_group_trains_is_said_and_follows_learning() -> None:
    recipe = Recipe(freeze=["trunk", "critic.head"], thaw={"actor.1": 0.125, "critic.*": 0.99})
    with adapted("discrete", toy(), recipe) as model:

        def starts() -> dict[str, str]:
            return {name: row["trains from"] for name, row in rows_of(describe(model)).items()}

        assert starts() == {
            "actor.0": "never (frozen)",
            "critic.0": "99% (frozen now)",
            "actor.1": "12.5% (frozen now)",
            "critic.1": "99% (frozen now)",
            "actor.head": "the start",
            "critic.head": "99% (frozen now)",
        }
        assert rows_of(describe(model))["actor.0"]["lr"] == "-"
        model.learn(64)
        assert starts()["actor.1"] == "12.5% (thawed)"
        assert starts()["critic.0"] == "99% (thawed)"
        assert starts()["actor.0"] == "never (frozen)"


def test_learning_rates_are_shown_by_group() -> None:
    recipe = Recipe(lr_decay=0.1, lr_scale={"critic.head": 3})
    with adapted("discrete", toy(), recipe, learning_rate=1e-3) as model:
        rates = {name: float(row["lr"]) for name, row in rows_of(describe(model)).items()}
        assert rates == pytest.approx(
            {
                **{"actor.0": 1e-5, "critic.0": 1e-5, "actor.1": 1e-4, "critic.1": 1e-4},
                **{"actor.head": 1e-3, "critic.head": 3e-3},
            }
        )


@pytest.mark.parametrize(
    "schedule",
    [LinearSchedule(1e-3, 0.0, 1.0), lambda left: 1e-3 * left**0.5],
    ids=["linear", "root"],
)
def test_a_schedule_that_has_ended_is_no_error(schedule: Any) -> None:
    """The last rollout goes beyond the budget, where a root would not be a number."""
    with adapted("discrete", toy(), learning_rate=schedule) as model:
        assert rows_of(describe(model))["actor.0"]["lr"] == "0.001"
        model.learn(64)
        model._current_progress_remaining = -0.5
        assert rows_of(describe(model))["actor.0"]["lr"] == "0"


def test_exploration_and_what_stays_behind_are_said() -> None:
    recipe = Recipe(log_std=-0.5, obs_stats="freeze", optimizer="source")
    with adapted("normalized", KINDS["normalized"].task(), recipe) as model:
        notes = notes_of(describe(model))
        assert notes["log standard deviation"] == "at least -0.5"
        assert notes["observation statistics"] == "copied and frozen"
        assert notes["optimizer"] == "moments of 13 of 13 tensors copied"
    with adapted("box", toy("v4", "d2"), Recipe(reset=["actor.head"])) as model:
        assert notes_of(describe(model))["left behind"] == "log_std"
    with adapted("discrete", toy(), Recipe(temperature=2.5)) as model:
        assert notes_of(describe(model))["logits"] == "divided by 2.5"


def test_a_reset_standard_deviation_is_fresh() -> None:
    with adapted("box", toy("v4", "box2"), Recipe(log_std="reset")) as model:
        assert rows_of(describe(model))["actor.std"]["weights from"] == "fresh"


def test_the_title_names_source_and_target() -> None:
    with adapted("discrete", toy()) as model:
        assert describe(model).splitlines()[0] == f"small -> {toy()}"


def test_a_model_from_scratch_is_described() -> None:
    model = fresh(toy(), policy_kwargs=SMALL, **SETTINGS)
    text = describe(model)
    assert text.splitlines()[0] == "trained from scratch"
    assert {row["weights from"] for row in rows_of(text).values()} == {"fresh"}
    model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def test_a_model_that_remembers_no_transfer_is_refused(tmp_path: Path) -> None:
    with adapted("discrete", toy()) as model:
        model.save(tmp_path / "model.zip")
    for other in (
        PPO.load(tmp_path / "model.zip", device="cpu"),
        rlt.TransferPPO.load(tmp_path / "model.zip", device="cpu"),
        source("discrete"),
        None,
    ):
        with pytest.raises(BadArgument, match="describe a model that adapt"):
            describe(other)
