"""Folders for the Hugging Face Hub, and the model card in them."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import huggingface_hub
import numpy as np
import pytest
import yaml
from agent_cases import CARD, CASES, OWN
from gymnasium import spaces
from hub_server import serving
from markdown_it import MarkdownIt
from processes import ROOT, environment, files, tiny_agent
from stable_baselines3 import PPO

from rltransfer.agents import Agent, hub, read_sb3
from rltransfer.agents.card import Score
from rltransfer.agents.hub.markdown import block, code, scalar
from rltransfer.cli import main
from rltransfer.errors import BadArgument, NotWritable

SECTIONS = [
    "Score",
    "Use it with rltransfer",
    "Use it with Stable-Baselines3 alone",
    "How it was trained",
    "Where it comes from",
]
HOSTILE = [
    "x\n---\nlicense: evil\n---\n# x",
    "</code></pre><script>alert(1)</script>",
    "`](javascript:alert(1)) ![x](https://evil.example/x.png) <img src=x onerror=y>",
    "```\n# Heading\n```python\nimport os",
    "~~~\n# Heading\n~~~",
    "a | b \\| <b>c</b> \\\\| [d](https://evil.example)",
    "``` `` ` \\` &lt;script&gt; https://evil.example www.evil.example a@evil.example",
    "\x1b[31mred\x07 \u202egnp.exe \ud800 \x00",
    "'''\"\"\"\\", "- a: &b *c !!python/object:os.system {}", "yes", "1e3", "", " ", "\n\n",
]  # fmt: skip
DATA = Path(__file__).parent / "data" / "sb3"
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.fixture(scope="module")
def agent() -> Agent:
    """With normalized observations, and everything in its card."""
    made = tiny_agent(normalize_obs=True)
    assert made.card.score is not None
    return made.with_card(command="rltransfer pretrain CartPole-v1 --out tiny", notes="One.\nTwo.")


def readme(folder: Path) -> tuple[Any, str]:
    """The YAML and the Markdown of a card."""
    text = (folder / "README.md").read_text("utf-8")
    _, front, body = re.split(r"^---$\n", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


def test_the_folder_holds_the_agent_in_both_formats(agent: Agent, tmp_path: Path) -> None:
    folder = hub.write_folder(agent, tmp_path / "up")
    assert folder == tmp_path / "up"
    assert set(files(folder)) == {
        *("README.md", "tiny.safetensors", "tiny.json", "tiny.zip", "tiny.vecnormalize.pkl"),
    }
    assert Agent.read(folder / "tiny").sha256 == agent.sha256
    loaded = PPO.load(folder / "tiny.zip", device="cpu")
    for name, value in loaded.policy.state_dict().items():
        assert np.array_equal(value, agent.weights[name])
    assert set(files(tmp_path)) == {"up", *(f"up/{name}" for name in files(folder))}
    plain = hub.write_folder(tiny_agent(), tmp_path / "plain")
    assert "tiny.vecnormalize.pkl" not in files(plain)


def test_the_hub_understands_the_card(agent: Agent, tmp_path: Path) -> None:
    folder = hub.write_folder(agent, tmp_path / "up", licence="mit")
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert card.data.library_name == "stable-baselines3" and card.data.license == "mit"
    assert card.data.tags == [
        *("reinforcement-learning", "deep-reinforcement-learning", "stable-baselines3"),
        *("rltransfer", "CartPole-v1"),
    ]
    assert card.data.model_name == "tiny" and len(card.data.eval_results) == 1
    result, score = card.data.eval_results[0], agent.card.score
    assert score is not None
    assert (result.task_type, result.dataset_type) == ("reinforcement-learning", "CartPole-v1")
    assert result.metric_type == result.metric_name == "mean_reward" and not result.verified
    interval = f"{score.mean:.4g} [{score.ci_low:.4g}, {score.ci_high:.4g}]"
    assert f"**{interval}**" in card.text
    assert result.metric_value == pytest.approx(score.mean, rel=1e-5)
    interval_of_mean = [result.metric_args[name] for name in ("ci_low", "ci_high")]
    assert interval_of_mean == pytest.approx([score.ci_low, score.ci_high], rel=1e-5)
    assert result.metric_args["episodes"] == score.episodes
    assert result.metric_args["deterministic"] is score.deterministic
    assert card.data.pipeline_tag == result.task_type
    # Written out again by the Hub's own library, it is the same: nothing was left unread.
    again = huggingface_hub.ModelCardData(**card.data.__dict__)
    assert yaml.safe_load(str(again)) == readme(folder)[0]
    assert [line[3:] for line in card.text.splitlines() if line.startswith("## ")] == SECTIONS


def test_the_card_tells_what_is_known(agent: Agent, tmp_path: Path) -> None:
    folder = hub.write_folder(agent, tmp_path / "up")
    front, body = readme(folder)
    assert "license" not in front
    assert body.startswith("\n# PPO on `CartPole-v1`\n\n`tiny` is a PPO agent on `CartPole-v1`")
    for fact in (
        "Normalized by running statistics: observations",
        f"Trained for: {agent.card.steps:,} steps, seed 0",
        f"of {agent.card.score.episodes} episodes with the most likely action, seed",
        "```text\nrltransfer pretrain CartPole-v1 --out tiny\n```",
        "```text\nOne.\nTwo.\n```",
        "| `n_steps` | `32` |",
        '| `policy_kwargs` | `{"net_arch": [8, 8]}` |',
        f"| `torch` | `{agent.card.versions['torch']}` |",
        f"- Sha256 of the agent: `{agent.sha256}`",
    ):
        assert fact in body, fact
    for name in set(files(folder)) - {"README.md"}:
        digest = subprocess.run(
            ["sha256sum", folder / name], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert f"| `{name}` | `{digest}` |" in body


def test_the_card_is_silent_about_what_is_not_known(tmp_path: Path) -> None:
    bare = dataclasses.replace(CARD, task="", versions={}, seed=None)
    front, body = readme(
        hub.write_folder(Agent.from_model(CASES["box"](), card=bare), tmp_path / "up")
    )
    assert "model-index" not in front and front["tags"][-1] == "rltransfer"
    assert "It was not measured." in body and "# PPO\n" in body
    for words in ("| package |", "By this command", "Notes", "seed", "evaluate", "Created"):
        assert words not in body, words


@pytest.mark.parametrize("mean", [200_000.0, 1e17, -0.000012, 3.0, 123456.789])
def test_the_hub_reads_a_number_whatever_the_score(
    mean: float, agent: Agent, tmp_path: Path
) -> None:
    """A float with an exponent is text to many readers of YAML: 2e+05."""
    score = Score(mean=mean, ci_low=mean, ci_high=mean, episodes=2, deterministic=True)
    front, _ = readme(hub.write_folder(agent.with_card(score=score), tmp_path / "up"))
    (metric,) = front["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("case", ["maskable", "recurrent", "own extractor", "dict", "image"])
def test_every_kind_of_agent_gets_a_card(case: str, tmp_path: Path) -> None:
    taken = Agent.from_model(CASES[case](), card=CARD)
    folder = hub.write_folder(taken, tmp_path / "up", classes=OWN)
    _, body = readme(folder)
    kind = {"maskable": "MaskablePPO", "recurrent": "RecurrentPPO"}.get(case, "PPO")
    package = "stable_baselines3" if kind == "PPO" else "sb3_contrib"
    assert f"from {package} import {kind}\n" in body and f"# {kind} on `test/Sampled-v0`" in body
    assert ("classes={'agent_cases:Doubling': ...}" in body) == (case == "own extractor")
    assert Agent.read(folder / "test", classes=OWN).sha256 == taken.sha256


def blocks(body: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def run(program: str, folder: Path, **places: str) -> None:
    quick = re.sub(r"(learn\()[\d_]+", r"\g<1>64", program)
    quick = re.sub(r"(episodes=)\d+", r"\g<1>2", quick)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", quick],
        **{"cwd": folder, "env": environment(**places), "capture_output": True, "text": True},
    )
    assert done.returncode == 0 and done.stdout, f"{quick}\n{done.stderr}"


def test_the_code_runs_where_the_environment_has_other_bounds(tmp_path: Path) -> None:
    """Gymnasium's CartPole had the largest float as a bound where it has infinity now."""
    plain = tiny_agent()
    assert isinstance(plain.observation_space, spaces.Box)
    assert np.isinf(plain.observation_space.high).any()
    bounds = [np.nan_to_num(b) for b in (plain.observation_space.low, plain.observation_space.high)]
    old = dataclasses.replace(plain, observation_space=spaces.Box(*bounds, dtype=np.float32))
    folder = hub.write_folder(old, tmp_path / "up")
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        PPO.load(folder / "tiny.zip", env=gym.make("CartPole-v1"), device="cpu")
    for program in blocks(readme(folder)[1]):
        run(program, folder)


@pytest.mark.parametrize(
    ("case", "normalized"), [("box", True), ("box", False), ("dict", False), ("image", False)]
)
def test_the_code_runs_without_a_task(case: str, normalized: bool, tmp_path: Path) -> None:
    found = (
        read_sb3(DATA / "1.0/normalized.zip").agent
        if normalized
        else Agent.from_model(CASES[case](), card=CARD)
    )
    folder = hub.write_folder(found.with_card(name="a", task=""), tmp_path / "up")
    programs = blocks(readme(folder)[1])
    assert ("a.vecnormalize.pkl" in programs[1]) == normalized
    for program in programs:
        run(program, folder)


def test_the_code_without_a_task_normalizes_as_in_training(tmp_path: Path) -> None:
    found = read_sb3(DATA / "1.0/normalized.zip").agent.with_card(name="a")
    folder = hub.write_folder(found, tmp_path / "up")
    program = blocks(readme(folder)[1])[1]
    answers = json.loads((DATA / "1.0/normalized.json").read_text())
    observations = np.asarray(answers["observations"], np.float32)
    sample = "model.observation_space.sample()"
    assert sample in program
    given = program.replace(sample, f"__import__('numpy').float32({observations[:1].tolist()})")
    given = given.replace("print(", "print(list(").replace("=True))", "=True)[0].ravel()))")
    done = subprocess.run(
        [sys.executable, "-c", given], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shown = [float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", done.stdout)]
    said = answers["statistics"]
    mean, variance = map(np.asarray, said["obs"][:2])
    normalized = (observations[:1] - mean) / np.sqrt(variance + said["epsilon"])
    clipped = np.clip(normalized, -said["clip_obs"], said["clip_obs"]).astype(np.float32)
    expected, _ = found.build().predict(clipped, deterministic=True)
    plain, _ = found.build().predict(observations[:1], deterministic=True)
    assert shown == pytest.approx(expected[0].tolist(), abs=1e-5)
    assert shown != pytest.approx(plain[0].tolist(), abs=1e-4)


@pytest.mark.parametrize("task", ["CartPole-v1", "rlt/CartPoleLong-v0"])
def test_the_code_in_the_card_runs(task: str, agent: Agent, tmp_path: Path) -> None:
    folder = hub.write_folder(agent.with_card(task=task), tmp_path / "up")
    programs = blocks(readme(folder)[1])
    assert len(programs) == 2 and all(f"{task!r}" in program for program in programs)
    # Tasks of rltransfer are made by nobody else.
    assert ("rltransfer" in programs[1]) == task.startswith("rlt/")
    for program in programs:
        run(program, folder)


def test_the_code_in_the_card_loads_from_the_hub(agent: Agent, tmp_path: Path) -> None:
    folder = hub.write_folder(agent, tmp_path / "up", repository="me/pole")
    program = blocks(readme(folder)[1])[0]
    assert "rlt.load('hub:me/pole')" in program
    (tmp_path / "here").mkdir()
    with serving() as server:
        server.repository("me/pole").commit(files(folder))
        places = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
        run(program, tmp_path / "here", **places)
    assert (tmp_path / "here/rltransfer.lock.json").exists()


# ---- text of strangers ----


def on_a_line(text: str) -> str:
    """The text as a card takes it for a name or a task: printable."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\n", " ")
    )


def hostile(agent: Agent, text: str) -> Agent:
    taken = agent.with_card(
        task=on_a_line(text),
        command=text,
        notes=text,
        source=text,
        created=text,
        versions={text: text},
    )
    return dataclasses.replace(taken, policy_kwargs={**taken.policy_kwargs, text: text})


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_stays_text(text: str, agent: Agent, tmp_path: Path) -> None:
    # Not written as a zip, which an agent with made-up policy arguments has none of.
    from rltransfer.agents.hub.model_card import Upload, render

    taken = hostile(agent, text).with_card(name=on_a_line(text) or "x")
    card = render(taken, Upload("a", "", "", {"a.zip": "0" * 64}))
    (tmp_path / "README.md").write_text(card, "utf-8")
    front, body = readme(tmp_path)
    assert set(front) <= {"library_name", "pipeline_tag", "tags", "model-index"}
    expected = " ".join(on_a_line(text).split())
    assert [front["tags"][4:]] == [[expected] if expected else []]
    assert huggingface_hub.ModelCard.load(tmp_path / "README.md").data.tags == front["tags"]

    tokens = MARKDOWN.parse(body)
    flat = [t for token in tokens for t in (token, *(token.children or []))]
    kinds = {token.type for token in flat}
    assert not kinds & {"html_block", "html_inline", "image", "hr", "code_block", "s_open"}
    links = [token.attrs["href"] for token in flat if token.type == "link_open"]
    assert links == ["https://stable-baselines3.readthedocs.io"]
    heads = [
        tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert heads[1:] == SECTIONS and heads[0].startswith("PPO")
    rows = sum(token.type == "tr_open" for token in tokens)
    cells = sum(token.type in ("td_open", "th_open") for token in tokens)
    assert cells == 2 * rows and all("\x1b" not in token.content for token in flat)
    for program in (token for token in tokens if token.info == "python"):
        compile(program.content, "card", "exec")


def test_code_and_blocks_hold_what_was_given() -> None:
    for text in HOSTILE:
        (paragraph,) = [t for t in MARKDOWN.parse(code(text)) if t.type == "inline"]
        (span,) = paragraph.children or []
        assert span.type == "code_inline" and "\n" not in span.content
        (fence,) = MARKDOWN.parse(block(text))
        assert fence.type == "fence" and fence.info == "text"
        assert isinstance(yaml.safe_load(f"a: {scalar(text)}")["a"], str)
    plain = "one `two` three"
    (paragraph,) = [t for t in MARKDOWN.parse(code(plain)) if t.type == "inline"]
    assert paragraph.children and paragraph.children[0].content == plain


def test_the_names_of_the_files_are_harmless(agent: Agent, tmp_path: Path) -> None:
    for index, (name, expected) in enumerate(
        {
            "../../etc/passwd": "etc-passwd",
            "my agent v2.1": "my-agent-v2-1",
            "?!": "agent",
            "x" * 200: "x" * 80,
            "CON/../~": "CON",
        }.items()
    ):
        folder = hub.write_folder(agent.with_card(name=name), tmp_path / str(index))
        assert set(files(folder)) >= {f"{expected}.zip", f"{expected}.json", "README.md"}
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3", "4"}


def test_a_description_is_readable_and_obeyed_by_no_terminal(agent: Agent) -> None:
    text = hostile(agent, "\x1b[31mred\x07\nsecond line").describe()
    assert "\x1b" not in text and "\x07" not in text
    lines = text.splitlines()
    assert all(line.startswith("  ") for line in lines[1:])
    assert sum("second line" in line for line in lines) == 6
    assert re.search(r"observations +Box\(shape \(4,\), float32, bounds differ\)", text)
    known = [line for line in agent.describe().splitlines() if "sha256" not in line]
    assert all(len(line) <= 100 for line in known)
    scheduled = dataclasses.replace(
        agent,
        hyperparameters={
            **agent.hyperparameters,
            "learning_rate": {"start": 0.001, "end": 0.0, "end_fraction": 0.5},
        },
    )
    assert "learning_rate=0.001 falling to 0.0 by 0.5 of the training" in scheduled.describe()


# ---- whole or not there ----


def test_only_a_new_or_an_empty_folder_is_taken(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    before = files(tmp_path)
    for name, words in (
        ("full", "is not empty: give a new or an empty folder"),
        ("file", "is a file"),
        ("nowhere/x", "choose a new folder in one that exists"),
    ):
        with pytest.raises(NotWritable, match=words):
            hub.write_folder(agent, tmp_path / name)
        assert files(tmp_path) == before
    hub.write_folder(agent, tmp_path / "link")
    assert "README.md" in files(tmp_path / "empty") and (tmp_path / "link").is_symlink()
    with pytest.raises(NotWritable, match="is not empty"):
        hub.write_folder(agent, tmp_path / "empty")


def test_a_failure_at_any_moment_leaves_nothing(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls, full = os.fsync, 0, 0

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    hub.write_folder(agent, tmp_path / "whole")
    flushes, whole = calls, files(tmp_path / "whole")
    assert flushes >= 10
    # The last one flushes the folder around it, when everything is in place.
    for flush in range(1, flushes):
        calls, full = 0, flush
        with pytest.raises(NotWritable, match="No space left"):
            hub.write_folder(agent, tmp_path / "up")
        assert {path.name for path in tmp_path.iterdir()} == {"whole"}
    full = 0
    assert set(files(hub.write_folder(agent, tmp_path / "up"))) == set(whole)


def test_a_kill_leaves_nothing_and_is_swept_up(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path / "a")
    code = (
        "import os, sys; from rltransfer.agents import Agent, hub; "
        "from rltransfer.agents.hub import folder; "
        "folder.render = lambda *_: os._exit(9); "
        "hub.write_folder(Agent.read('a'), 'up')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment())
    assert done.returncode == 9 and not (tmp_path / "up").exists()
    (left,) = tmp_path.glob(".up.*.tmp")
    hub.write_folder(agent, tmp_path / "up")
    assert left.exists()  # it may be that of another process, at work
    os.utime(left, (time.time() - 4000,) * 2)
    hub.write_folder(agent, tmp_path / "other")
    assert left.exists()
    for path in (tmp_path / "up").iterdir():
        path.unlink()
    hub.write_folder(agent, tmp_path / "up")
    assert not left.exists()


def test_what_the_card_cannot_say_is_refused(agent: Agent, tmp_path: Path) -> None:
    for options in ({"licence": "MIT\n---"}, {"licence": "a b"}, {"repository": "x"}):
        with pytest.raises(BadArgument):
            hub.write_folder(agent, tmp_path / "up", **options)
    with pytest.raises(BadArgument, match="classes="):
        own = Agent.from_model(CASES["own extractor"](), card=CARD)
        hub.write_folder(dataclasses.replace(own, classes={}), tmp_path / "up")
    assert files(tmp_path) == {}


# ---- the command ----


def test_the_command_writes_a_folder(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    agent.save("a")
    given = ["export", "a", "up here", "--to", "hub-folder", "--licence", "mit"]
    assert main([*given, "--repository", "me/pole"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("up here: README.md, tiny.json, tiny.safetensors, tiny.vecnormalize.pkl")
    assert out.endswith("upload it with: hf upload me/pole 'up here'\n")
    assert readme(tmp_path / "up here")[0]["license"] == "mit"
    assert Agent.read("up here/tiny").sha256 == agent.sha256
    for args, words in (
        (given, "not empty"),
        ([*given[:-1], "A B"], "is no licence"),
        (["export", "a", "x.zip", "--licence", "mit"], "give --to hub-folder too"),
        (["export", "a", "x.zip", "--repository", "me/pole"], "give --to hub-folder too"),
    ):
        assert main(args) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: ") and words in err and len(err.splitlines()) == 1
    assert not Path("x.zip").exists()
    with pytest.raises(SystemExit):
        main(["export", "a", "x", "--to", "tar"])


def test_agents_of_the_zoo_get_cards_too(tmp_path: Path) -> None:
    zoo = ROOT / "zoo" / "rltransfer_zoo"
    for name in sorted(path.stem for path in zoo.glob("*.safetensors")):
        taken = Agent.read(zoo / name)
        if taken.multitask:
            with pytest.raises(BadArgument, match=re.escape(f"{name}#{taken.tasks[0]}")):
                hub.write_folder(taken, tmp_path / name)
            taken = taken.for_task(taken.tasks[0])
        folder = hub.write_folder(taken, tmp_path / name)
        data, score = huggingface_hub.ModelCard.load(folder / "README.md").data, taken.card.score
        assert data.tags[-1] == taken.card.task and isinstance(score, Score)
        assert data.eval_results[0].metric_value == pytest.approx(score.mean, rel=1e-5)
