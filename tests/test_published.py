"""The checks against published results: their logic in small settings, and committed pages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rltransfer.errors import BadArgument

PUBLISHED = Path(__file__).parents[1] / "benchmarks" / "published"
sys.path.insert(0, str(PUBLISHED))

import apple_reinforce as apple  # noqa: E402
import apple_retrieval  # noqa: E402
import claims  # noqa: E402
import continual_world  # noqa: E402
import progressive_order  # noqa: E402
import zoo_scores  # noqa: E402

SCRIPTS = (continual_world, apple_retrieval, zoo_scores, progressive_order)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.NAME)
def test_committed_pages_are_what_the_scripts_make_of_the_committed_numbers(script):
    rows = claims.read(claims.RESULTS / f"{script.NAME}.csv")
    assert script.page(rows) == (claims.RESULTS / f"{script.NAME}.md").read_text()


def test_readme_lists_every_script():
    text = (PUBLISHED / "README.md").read_text()
    for script in SCRIPTS:
        assert script.COMMAND in text
        assert f"{script.NAME}.md" in text


# --- what they share ---


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [{"task": "a, b", "seed": 3, "mean": -0.25}, {"task": "c", "seed": 4, "mean": 1e-9}]
    claims.write(tmp_path / "new", "some", "# Page\n", rows)
    assert claims.read(tmp_path / "new" / "some.csv") == rows
    assert (tmp_path / "new" / "some.md").read_text() == "# Page\n"


def test_a_verdict_is_one_of_three():
    assert claims.verdict(agrees=True, direction=False) == claims.AGREES
    assert claims.verdict(agrees=False, direction=True) == claims.DIRECTION
    assert claims.verdict(agrees=False) == claims.DISAGREES
    with pytest.raises(BadArgument, match="verdict is 'maybe'"):
        claims.Claim(published="x", ours="y", verdict="maybe")


def test_only_the_whole_check_writes_to_the_committed_results(tmp_path):
    parser = claims.options("words", "some")
    parser.add_argument("--seeds", type=int, default=10)
    assert claims.place(parser, parser.parse_args([])) == claims.RESULTS
    part = parser.parse_args(["--seeds", "2"])
    assert claims.place(parser, part) == Path("runs/published/some")
    named = parser.parse_args(["--seeds", "2", "--out", str(tmp_path)])
    assert claims.place(parser, named) == tmp_path


# --- Continual World ---


def test_continual_world_agrees_with_the_answers_by_hand():
    rows = continual_world.run()
    assert [r["ours"] for r in rows] == pytest.approx([r["by_hand"] for r in rows], abs=1e-12)
    # Of the four claims only the one about the code's conventions may be less than exact.
    page = continual_world.page(rows)
    assert page.count(f"**{claims.AGREES}**") == 3
    assert page.count(f"**{claims.DIRECTION}**") == 1


def test_continual_world_notices_a_wrong_metric(monkeypatch):
    monkeypatch.setattr(
        continual_world, "forgetting", lambda before, after: np.subtract(after, before)
    )
    assert f"**{claims.DISAGREES}**" in continual_world.page(continual_world.run())


def test_the_codes_conventions_approach_the_formulas_with_more_evaluations():
    ours = np.concatenate(list(continual_world.ours().values()))
    gaps = [
        np.abs(np.concatenate(list(continual_world.theirs(n, 5).values())) - ours).max()
        for n in (10, 100, 1000)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.005


# --- AppleRetrieval ---


def test_a_sure_agent_walks_to_the_apple_and_home():
    sure = (np.ones(2), np.zeros(2))
    played = apple.play(sure, 7, np.random.default_rng(0), episodes=3)
    assert played.home.all()
    assert (played.taken.sum(axis=-1) == 14).all()
    assert (played.back & played.taken).sum(axis=-1).tolist() == [[7] * 3] * 2
    lost = apple.play((np.zeros(1), np.zeros(1)), 7, np.random.default_rng(0), episodes=1)
    assert not lost.reached.any()
    assert lost.taken.sum() == apple.LIMIT


def test_the_chance_of_getting_home_is_that_of_played_episodes():
    rights = (np.zeros(2), np.array([0.45, 0.3]))
    played = apple.play(rights, 15, np.random.default_rng(0), only_back=True, episodes=2000)
    # Three standard errors of 2,000 episodes are at most 0.034.
    assert apple.home_alone(rights[1], 15) == pytest.approx(played.home.mean(axis=1), abs=0.034)


def test_the_gradient_is_that_worked_out_by_hand():
    # Right to the apple at x = 1, left home: rewards 1 and 1, returns 1 + 0.9 and 1.
    played = apple.play((np.ones(1), np.zeros(1)), 1, np.random.default_rng(0), episodes=1)
    # With 0.6 and 0.3 for going right: (1 - 0.6) 1.9 = 0.76 and (0 - 0.3) 1 = -0.3; o is -0.5, 0.5.
    w, b = apple.gradient(played, (np.array([0.6]), np.array([0.3])), 0.5)
    assert w == pytest.approx([-0.5 * 0.76 - 0.5 * 0.3])
    assert b == pytest.approx([0.76 - 0.3])


def test_forgetting_grows_with_the_distance_even_in_a_short_run():
    options = {"agents": 4, "updates": 100}
    settings = ((0.25, 20), (0.25, 40), (1.0, 30), (0.25, 30))
    rows = [row for setting in settings for row in apple_retrieval.finetune(*setting, **options)]
    assert list(rows[0]) == ["M", "c", "rate", "agent", *apple_retrieval.COLUMNS]
    assert len(rows) == 4 * 4
    assert list(apple_retrieval.groups(rows, "M", "lost")) == [20, 30, 40]
    assert apple_retrieval.trend(rows, "M", "lost", 1, "grows").verdict == claims.AGREES
    assert apple_retrieval.trend(rows, "M", "lost", -1, "falls").verdict == claims.DISAGREES
    by_c = apple_retrieval.groups(rows, "c", "peak")
    assert by_c[0.25].min() > by_c[1.0].max()


def test_pretraining_stops_at_the_same_level_and_leans_on_the_bias_for_small_c():
    for c in (0.25, 2.0):
        w, b = apple.pretrain(c, 30, 3, np.random.default_rng(0))
        assert np.abs(b / w) == pytest.approx(1 / c)
        assert apple.chances(np.stack([w, b]), c)[1] == pytest.approx(0.05, abs=0.01)


# --- rl-baselines3-zoo ---


def test_zoo_runs_are_scored_and_reused(tmp_path):
    options = {"runs": tmp_path, "seeds": 1, "steps": 512, "episodes": 3}
    rows = zoo_scores.run(["CartPole-v1"], **options)
    assert [row["seed"] for row in rows] == [zoo_scores.FIRST_SEED]
    assert rows[0]["steps"] == 512
    assert rows[0]["episodes"] == 3
    # Another training would have taken another time.
    assert zoo_scores.run(["CartPole-v1"], **options) == rows
    again = zoo_scores.run(["CartPole-v1"], **{**options, "steps": 1024})
    assert again[0]["steps"] == 1024


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([-160.0, -180.0], claims.AGREES),
        ([-150.0, -160.0], claims.DIRECTION),
        ([-900.0, -800.0], claims.DISAGREES),
    ],
)
def test_a_published_score_agrees_where_it_lies_among_ours(means, verdict):
    assert zoo_scores.claim("Pendulum-v1", np.array(means)).verdict == verdict


# --- Progressive Networks ---


def test_progressive_order_measures_every_recipe():
    rows = progressive_order.run(["cartpole-long"], seeds=2, steps=1024, points=2, episodes=2)
    assert list(rows[0]) == ["pair", "recipe", "seed", "steps", "auc"]
    assert {row["recipe"] for row in rows} == {"scratch", *progressive_order.RECIPES}
    assert len(rows) == 2 * 4
    assert "| cartpole-long |" in progressive_order.page(rows)


def test_percent_of_scratch_resamples_pairs():
    scratch = np.array([0.2, 0.4, 0.6])
    assert progressive_order.percent(2 * scratch, scratch) == pytest.approx((200, 200, 200))
    mean, low, high = progressive_order.percent(scratch[::-1], scratch)
    assert mean == pytest.approx(100)
    assert low < 100 < high


def test_an_order_agrees_only_where_every_pair_holds():
    low, high = np.array([0.1, 0.2, 0.15]), np.array([0.5, 0.6, 0.7])
    both = {"a": {"x": low, "y": high}, "b": {"x": low, "y": high}}
    assert progressive_order.order(both, "y", "x", "").verdict == claims.AGREES
    assert progressive_order.order(both, "x", "y", "").verdict == claims.DISAGREES
    mixed = {**both, "c": {"x": low, "y": low}}
    assert progressive_order.order(mixed, "y", "x", "").verdict == claims.DIRECTION
