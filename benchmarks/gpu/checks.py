"""What is checked, what matters most first: a table of names and functions. Each starts real jobs and reads results."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.agreement import FLOAT32_WITHIN, TF32_WITHIN, same_probabilities, same_training
from benchmarks.gpu.bench import HOLD, VERBOSE, Bench, Run
from benchmarks.gpu.rows import Check, CheckError, Measured, NotApplicableError

PRESETS = ("mnist_mlp", "mnist_cnn")
TRIALS, SHARE = 3, 0.33  # of a search; of a card for each trial
HALF = 0.5
WIDE = ("--model.hidden_units", "6000")  # of the CNN: 39 MB of gradients, which are summed in two parts
SPACE = "{optimizer.learning_rate: {loguniform: [1.0e-3, 5.0e-3]}}"
WITHOUT_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}


def checks(bench: Bench, machine: Mapping[str, Any]) -> list[tuple[str, Check]]:
    """All of them, by the names that the table shows."""
    of_presets = {
        kind: [(f"{preset}, {kind}", functools.partial(one, bench, preset)) for preset in PRESETS]
        for kind, one in {"float32": in_float32, "bfloat16": in_bfloat16, "XLA": with_xla}.items()
    }
    return [
        ("versions and cards", functools.partial(versions_and_cards, machine)),
        *of_presets["float32"],
        ("two workers, a card each, NCCL", functools.partial(two_workers, bench, 1.0)),
        ("two workers, half a card each", functools.partial(two_workers, bench, HALF)),
        ("two workers, NCCL, in two parts", functools.partial(in_two_parts, bench)),
        ("evaluation, as on the CPU", functools.partial(evaluation, bench)),
        ("killed, and continued", functools.partial(killed_and_continued, bench)),
        ("search, 3 trials on one card", functools.partial(search, bench)),
        *of_presets["bfloat16"],
        *of_presets["XLA"],
    ]


def versions_and_cards(machine: Mapping[str, Any]) -> Measured:
    """Known before; the JSON holds more of it."""
    built = {f"built with {name}": version for name, version in machine["built_with"].items() if version}
    named = machine["nvidia_smi"] or [one.get("device_name") for one in machine["gpus"]]
    cards = {f"card {number}": line for number, line in enumerate(named)}
    return {**machine["versions"], **built, **cards, "cores": machine["cores"]}


def in_float32(bench: Bench, preset: str) -> Measured:
    return trained(bench, bench.train(f"{preset}_float32", preset), preset, "float32")


def in_bfloat16(bench: Bench, preset: str) -> Measured:
    run = bench.train(f"{preset}_bfloat16", preset, "--train.precision", "mixed_bfloat16")
    return trained(bench, run, preset, "bfloat16")


def with_xla(bench: Bench, preset: str) -> Measured:
    """XLA as TensorFlow turns it on for a whole process, since the project has no setting of its own for it."""
    compiled = bench.folder / f"{preset}_xla_compiled"
    flags = "--tf_xla_auto_jit=2" + ("" if bench.plan.gpu else " --tf_xla_cpu_global_jit")
    dump = f"--xla_dump_to={compiled} --xla_dump_hlo_as_text"
    environment = {
        name: f"{os.environ.get(name, '')} {more}".strip()
        for name, more in {"TF_XLA_FLAGS": flags, "XLA_FLAGS": dump}.items()
    }
    run = bench.train(f"{preset}_xla", preset, environment=environment)
    clusters = len(list(compiled.glob("*after_optimizations.txt")))
    if not clusters:
        raise CheckError(f"XLA compiled nothing, with TF_XLA_FLAGS={environment['TF_XLA_FLAGS']}")
    return {**trained(bench, run, preset, "float32"), "clusters compiled": clusters}


def trained(bench: Bench, run: Run, preset: str, dtype: str) -> Measured:
    """What a run measured. CheckError where it was not on the card, or learned too little."""
    worker, accuracy = run.worker, run.last["val_accuracy"]
    expected = "GPU" if bench.plan.gpu else "CPU"
    if expected not in worker["device"]:
        raise CheckError(f"the weights are on {worker['device']}, expected a {expected}")
    if worker["compute_dtype"] != dtype:
        raise CheckError(f"the layers compute in {worker['compute_dtype']}, expected {dtype}")
    if bench.plan.gpu and not worker["memory_growth"]:
        raise CheckError("the worker took all memory of the card: memory growth is off")
    floor = bench.plan.floors[preset]
    if not accuracy >= floor:
        raise CheckError(f"val_accuracy {accuracy:.4f}, expected at least {floor}")
    memory = {"peak MiB": round(worker["peak_bytes"] / 2**20)} if "peak_bytes" in worker else {}
    speed = {"examples/s": round(run.last["samples_per_second"]), "val_accuracy": accuracy}
    return {**speed, "on": worker.get("gpu") or expected, **memory}


def two_workers(bench: Bench, share: float) -> Measured:
    """The CNN, which draws nothing at random, on two workers and one: the same global batches and the same sums."""
    if share == 1:
        check_two_cards(bench)
    return as_alone(bench, f"two_workers_{share:g}", share, bench.needed("mnist_cnn_float32"))


def in_two_parts(bench: Bench) -> Measured:
    """A wider CNN: of its gradients those of the dense layers are sent while those of the convolutions are computed."""
    check_two_cards(bench)
    return as_alone(bench, "wide_two_workers", 1.0, bench.train("wide", "mnist_cnn", *WIDE), *WIDE)


def check_two_cards(bench: Bench) -> None:
    if bench.gpus < 2:
        raise NotApplicableError("NCCL joins workers that have a card each, which takes two cards")


def as_alone(bench: Bench, name: str, share: float, alone: Run, *words: str) -> Measured:
    """The CNN on two workers, compared with a run on one."""
    log = bench.folder / f"nccl_{name}"
    log.mkdir()
    told = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_FILE": f"{log}/%h.%p"}
    run = bench.train(name, "mnist_cnn", *words, workers=2, share=share, environment=told)
    trained(bench, run, "mnist_cnn", "float32")
    if run.last["world_size"] != 2:
        raise CheckError(f"{run.last['world_size']} workers have trained, expected 2")
    joined = nccl_joined(log)
    if joined != (bench.plan.gpu and share == 1):
        raise CheckError("NCCL joined workers that share a card" if joined else "NCCL's own log names no two ranks")
    by = {"sums by": "NCCL" if joined else "TensorFlow's ring"}
    return {**by, "examples/s": round(run.last["samples_per_second"]), **same_training(run.rows, alone.rows)}


def nccl_joined(log: Path) -> bool:
    """Whether what NCCL has written into a folder tells of two that it joined."""
    return any("nranks 2" in file.read_text(errors="replace").lower() for file in log.iterdir())


def evaluation(bench: Bench) -> Measured:
    """Both presets' test sets, once on the CPU and on the card with and without TF32."""
    runs = [bench.needed(f"{preset}_float32") for preset in PRESETS]
    expected = predicted(bench, "evaluated_cpu", runs, [])
    measured: dict[str, Any] = {}
    cases = {"with TF32": (TF32_WITHIN, {}), "without TF32": (FLOAT32_WITHIN, WITHOUT_TF32)}
    for name, (within, environment) in cases.items():
        folder = f"evaluated_{name.replace(' ', '_')}"
        ours = predicted(bench, folder, runs, bench.scaling(1), environment)
        found = same_probabilities(ours, expected, within)
        measured |= {f"{name}: {what}": value for what, value in found.items()} | {f"{name}: at most": within}
    return measured


def predicted(
    bench: Bench, name: str, runs: Sequence[Run], scaling: list[str], environment: Mapping[str, str] | None = None
) -> NDArray[Any]:
    """The logits [N, C] of all runs, one after another, as an evaluation has saved them."""
    folder = bench.folder / name
    paths = [str(run.folder) for run in runs]
    command = ["-m", "jobs.evaluate", "--runs", *paths, "--output", str(folder), *scaling, VERBOSE]
    bench.job(name, *command, environment=environment)
    saved = sorted((folder / "predictions").glob("*.npz"))
    if len(saved) != len(runs):
        raise CheckError(f"{len(saved)} files of predictions, expected {len(runs)}")
    return np.concatenate([np.load(file)["logits"] for file in saved])


def killed_and_continued(bench: Bench) -> Measured:
    """The MLP, killed with its whole process group once there is a checkpoint, against the run that was let be."""
    whole = bench.needed("mnist_mlp_float32")
    name = "killed"
    command = bench.training(name, "mnist_mlp")
    checkpoints = bench.folder / name / "checkpoints"
    bench.killed(name, *command, when=lambda: any(checkpoints.glob("*.ckpt")), environment={HOLD: "1"})
    bench.train(name, "mnist_mlp")
    continued = [line for line in bench.said(name) if line.startswith("continuing after ")]
    if not continued:
        raise CheckError("it began anew instead of going on", bench.said(name))
    return {"went on": continued[0].removeprefix("continuing "), **same_training(bench.runs[name].rows, whole.rows)}


def search(bench: Bench) -> Measured:
    """Trials of the MLP, each with a share of one card."""
    fixed = ["--name", "search", "--run.storage_path", str(bench.folder), "--train.epochs", str(bench.plan.epochs)]
    space = ["--search.space", SPACE, "--search.num_trials", str(TRIALS), "--search.scheduler", "none"]
    words = [*fixed, *space, "--search.keep_best", "1", "--scaling.num_workers", "1", *bench.data]
    bench.job("search", "-m", "jobs.tune", "--config", "mnist_mlp", *words, *bench.scaling(SHARE), VERBOSE)
    folder = bench.folder / "search"
    result = json.loads((folder / "search.json").read_text())
    if result["trials"]["completed"] != TRIALS:
        raise CheckError(f"trials: {result['trials']}, expected {TRIALS} completed; {result['failures']}")
    floor, best = bench.plan.floors["mnist_mlp"], result["best"]["value"]
    if not best >= floor:
        raise CheckError(f"the best val_accuracy is {best:.4f}, expected at least {floor}")
    times = [(one["started"], one["finished"]) for one in journal(folder)]
    together = at_a_time(times)
    if together == 1 and (os.cpu_count() or 1) > 1:
        raise CheckError("the trials ran one after another, and the card has room for all")
    return {"best val_accuracy": best, "trials at a time": together, "seconds": result["seconds"]}


def journal(folder: Path) -> list[dict[str, Any]]:
    """The records of a search's trials."""
    parts = sorted((folder / "journal").glob("*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def at_a_time(times: Sequence[tuple[float, float]]) -> int:
    """How many of the intervals (from, to) hold one moment, at most."""
    return max((sum(began <= moment < ended for began, ended in times) for moment, _ in times), default=0)
