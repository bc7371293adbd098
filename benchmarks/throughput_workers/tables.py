"""Results of `benchmarks/throughput.py` as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from throughput_workers.workloads import IMPLEMENTATIONS

HEAD = (
    *(
        "implementation",
        "steps/s",
        "x sb3",
        "CPU time x sb3",
        "update x sb3",
        "environments",
        "rest of rollout",
    ),
    *("update", "other", "of ceiling", "peak, MiB"),
)
EXPLANATION = """\
One iteration is a rollout and its update. `x sb3` is how many times faster an iteration is than
that of `sb3` in the same round: the median over the rounds, with a 95 % bootstrap interval;
`CPU time x sb3` is the same for CPU time, which differs where other processes want the core, and
`update x sb3` for the time of the update alone. Shares of time: stepping the environments, the
rest of the rollout (choosing actions, values, bookkeeping), the update, and the rest (logging).
`of ceiling` compares with random actions in the same environments and no learning. The clocks
cost each implementation about 1 us for each step of its vectorized environments, itself included.
Memory is the peak of the process, libraries included.
"""


def document(results: Iterable[Mapping[str, Any]]) -> str:
    """A page of all workloads.

    Args:
        results: What ``throughput.py`` wrote of each workload.
    """
    names = dict.fromkeys(name for result in results for name in result["implementations"])
    about = "".join(f"- `{name}`: {IMPLEMENTATIONS[name].about}\n" for name in names)
    sections = "\n".join(section(result) for result in results)
    return f"# Throughput of training\n\n{EXPLANATION}\n{about}\n{sections}"


def section(result: Mapping[str, Any]) -> str:
    """Title, table and circumstances of one workload."""
    facts = result["implementations"]
    lines = [list(HEAD), ["---", *["---:"] * (len(HEAD) - 1)]]
    lines += [_row(name, result["rows"][name]) for name in facts if name in result["rows"]]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    absent = [
        f"- `{name}` {_absence(facts[name])}\n" for name in facts if name not in result["rows"]
    ]
    engines = [
        f"- `{name}`: {'; '.join(' '.join(line.split()) for line in said['engine'].splitlines())}\n"
        for name, said in facts.items()
        if said.get("engine")
    ]
    notes = "".join("\n" + "".join(note) for note in (absent, engines) if note)
    return f"## {result['title']}\n\n{table}{notes}\n{_circumstances(result)}\n"


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    shares = [f"{100 * share:.0f} %" for share in row["shares"].values()]
    ceiling = row["of_ceiling"]
    memory = f"{row['peak_mib']:.0f}"
    if row["device_peak_mib"]:
        memory += f" + {row['device_peak_mib']:.0f} on the device"
    return [
        name,
        f"{row['steps_per_second']:,.0f}",
        _ratio(row["ratio"]),
        _ratio(row["cpu_ratio"]),
        _ratio(row["update_ratio"]),
        *shares,
        "" if ceiling is None else f"{100 * ceiling:.0f} %",
        memory,
    ]


def _ratio(values: list[float] | None) -> str:
    if values is None:
        return ""
    ratio, low, high = values
    return f"{ratio:.2f} [{low:.2f}, {high:.2f}]"


def _absence(said: Mapping[str, Any]) -> str:
    if "skipped" in said:
        return f"was skipped: {said['skipped']}"
    return f"failed: {said['failed'].splitlines()[-1]}"


def _circumstances(result: Mapping[str, Any]) -> str:
    told = [said for said in result["implementations"].values() if "packages" in said]
    devices = ", ".join(dict.fromkeys(said["device"] for said in told))
    # An interpreter of its own may have other versions.
    packages = dict.fromkeys(pair for said in told for pair in said["packages"].items())
    listed = ", ".join(f"{name} {number}" for name, number in sorted(packages))
    return (
        f"Made by `{result['command']}` on {result['date']}: {result['rounds']} rounds of about "
        f"{result['seconds']:g} s each; {result['machine']}; device {devices}; "
        f"{result['threads']} thread(s) on as many cores; {listed}.\n"
    )
