"""Computes every number of a report again from its ``predictions/``, with scikit-learn.

    python tests/check_report.py DIR

Shares no code with ``nn_train``: it reads the files that a report consists of and works each number out in
its own way. Exit code 0: everything agrees to 1e-12 (of numbers above 1: of them). 1: something differs, or a number
of the report was not checked. 2: DIR is not a report.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax
from scipy.stats import binom, binomtest, norm
from sklearn import metrics

TOLERANCE = 1e-12
BINS = 15


class Check:
    """Compares numbers and remembers which of the report's were looked at."""

    def __init__(self) -> None:
        self.compared = 0
        self.worst = 0.0
        self.failures: list[str] = []
        self.seen: set[int] = set()

    def same(self, where: str, reported: Any, expected: Any) -> None:
        """Two plain values; None equals None only."""
        self.compared += 1
        if reported is None or expected is None or isinstance(expected, str):
            if reported != expected:
                self.failures.append(f"{where}: reported {reported!r}, computed {expected!r}")
            return
        difference = abs(float(reported) - float(expected)) / max(1.0, abs(float(expected)))
        self.worst = max(self.worst, difference)
        if not difference <= TOLERANCE:
            self.failures.append(f"{where}: reported {reported!r}, computed {expected!r}")

    def number(self, where: str, number: dict[str, Any], value: Any, n: int, interval: Any = None) -> None:
        """One number of metrics.json with its n and interval; an undefined one must say why."""
        self.seen.add(id(number))
        if number.get("bounds"):
            low, high = number["bounds"]
            self.compared += 1
            if not low - TOLERANCE <= value <= high + TOLERANCE or not low <= number["value"] <= high:
                self.failures.append(f"{where}: bounds {low} to {high} miss {value!r} or {number['value']!r}")
        else:
            self.same(where, number["value"], value)
        self.same(f"{where}.n", number["n"], n)
        if (value is None) == ("reason" not in number):
            self.failures.append(f"{where}: a reason belongs to undefined values, and only to them")
        for side, (a, b) in enumerate(zip(number["interval"] or (None, None), interval or (None, None), strict=True)):
            self.same(f"{where}.interval[{side}]", a, b)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's interval, as SciPy gives it."""
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return interval.low, interval.high


class Truth:
    """What the predictions of one run say."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.ids, self.y, logits = arrays["example_id"], arrays["y_true"], arrays["logits"].astype(np.float64)
        self.n, self.classes = logits.shape
        self.p = softmax(logits, axis=1)
        self.predicted = logits.argmax(axis=1)
        self.correct = self.predicted == self.y
        self.log_loss = logsumexp(logits, axis=1) - logits[np.arange(self.n), self.y]
        others = [logsumexp(np.delete(logits, k, axis=1), axis=1) for k in range(self.classes)]
        self.odds = logits - np.stack(others, axis=1)
        self.confidence = self.p[np.arange(self.n), self.predicted]
        self.margin = self.odds[np.arange(self.n), self.predicted]
        self.matrix = metrics.confusion_matrix(self.y, self.predicted, labels=range(self.classes))

    def areas(self, label: int | None) -> tuple[float | None, float | None, int]:
        """ROC AUC, average precision and n of a class, or of all pairs together."""
        onehot = self.y[:, None] == np.arange(self.classes)
        truth, scores = (
            (onehot.ravel(), self.odds.ravel()) if label is None else (onehot[:, label], self.odds[:, label])
        )
        if truth.all() or not truth.any() or np.ptp(scores) == 0:
            return None, None, len(truth)
        return metrics.roc_auc_score(truth, scores), metrics.average_precision_score(truth, scores), len(truth)


def check_run(check: Check, folder: Path, run: dict[str, Any]) -> Truth:
    """Every number of one run."""
    name, numbers = run["name"], run["numbers"]
    path = folder / run["predictions"]["file"]
    check.same(f"{name} sha256", run["predictions"]["sha256"], hashlib.sha256(path.read_bytes()).hexdigest())
    t = Truth(path)
    hits, n = int(t.correct.sum()), t.n
    check.number(f"{name} accuracy", numbers["accuracy"], metrics.accuracy_score(t.y, t.predicted), n, wilson(hits, n))
    onehot = np.eye(t.classes)[t.y]
    for key, rows in (("log_loss", t.log_loss), ("brier", ((t.p - onehot) ** 2).sum(axis=1))):
        half = norm.ppf(0.975) * np.std(rows, ddof=1) / math.sqrt(n) if n > 1 else 0
        interval = (rows.mean() - half, rows.mean() + half) if n > 1 else None
        check.number(f"{name} {key}", numbers[key], rows.mean(), n, interval)
    check_coverage(check, name, run, t)
    check.same(f"{name} confusion", str(run["confusion"]), str(t.matrix.tolist()))
    check_classes(check, name, run, t)
    return t


def check_classes(check: Check, name: str, run: dict[str, Any], t: Truth) -> None:
    """Per class, then macro, weighted and micro."""
    values: dict[str, list[float | None]] = defaultdict(list)
    supports = t.matrix.sum(axis=1)
    for label, entry in enumerate(run["per_class"]):
        where, truth, positive = f"{name} class {label}", t.y == label, t.predicted == label
        support, given, hits = int(truth.sum()), int(positive.sum()), int((truth & positive).sum())
        precision = metrics.precision_score(truth, positive) if given else None
        recall = metrics.recall_score(truth, positive) if support else None
        f1 = metrics.f1_score(truth, positive) if support or given else None
        auc, ap, n = t.areas(label)
        found = {
            "precision": (precision, given, wilson(hits, given) if given else None),
            "recall": (recall, support, wilson(hits, support) if support else None),
            "f1": (f1, support, None),
            "roc_auc": (auc, n, None),
            "average_precision": (ap, n, None),
        }
        for key, (value, count, interval) in found.items():
            check.number(f"{where} {key}", entry["numbers"][key], value, count, interval)
            values[key].append(value)
    for key, column in values.items():
        known = [k for k, value in enumerate(column) if value is not None]
        chosen = [float(column[k] or 0.0) for k in known]
        macro = np.mean(chosen) if known else None
        weights = supports[known]
        weighted = np.sum(np.multiply(chosen, weights)) / weights.sum() if known and weights.sum() else None
        check.number(f"{name} {key}_macro", run["numbers"][f"{key}_macro"], macro, len(known))
        count = len(known) if weighted is not None else 0
        check.number(f"{name} {key}_weighted", run["numbers"][f"{key}_weighted"], weighted, count)
    auc, ap, n = t.areas(None)
    check.number(f"{name} micro AUC", run["numbers"]["roc_auc_micro"], auc, n)
    check.number(f"{name} micro AP", run["numbers"]["average_precision_micro"], ap, n)


def check_coverage(check: Check, name: str, run: dict[str, Any], t: Truth) -> None:
    """The coverage table and the area under the risk-coverage curve."""
    margins, sizes = np.unique(-t.margin, return_counts=True)
    hits = np.bincount(np.searchsorted(margins, -t.margin), weights=t.correct)
    answered, correct = np.cumsum(sizes), np.cumsum(hits)
    aurc = float(np.sum(sizes * (1 - correct / answered)) / t.n)
    check.number(f"{name} aurc", run["numbers"]["aurc"], aurc, t.n)
    for point in run["coverage"]:
        where = f"{name} coverage {point['share']}"
        at = int(np.flatnonzero(answered >= math.ceil(point["share"] * t.n))[0])
        count, good = int(answered[at]), int(correct[at])
        check.same(where, point["coverage"], count / t.n)
        check.same(f"{where} confidence", point["least_confidence"], t.confidence[-t.margin <= margins[at]].min())
        check.number(f"{where} accuracy", point["accuracy"], good / count, count, wilson(good, count))


def check_calibration(check: Check, run: dict[str, Any], t: Truth, rows: list[dict[str, str]]) -> None:
    """calibration.csv and both expected calibration errors."""
    by_width = np.minimum(np.searchsorted(np.arange(1, BINS) / BINS, t.confidence, side="left"), BINS - 1)
    by_count = np.empty(t.n, int)
    order = np.lexsort((t.ids, t.margin))
    for number, part in enumerate(np.array_split(order, BINS)):
        by_count[part] = number
    lines = {(row["scheme"], int(row["bin"])): row for row in rows if row["run"] == run["name"]}
    for scheme, index in (("uniform", by_width), ("quantile", by_count)):
        error = 0.0
        for b in np.unique(index):
            inside = index == b
            row, where = lines.pop((scheme, int(b))), f"calibration.csv {run['name']} {scheme} {b}"
            count, hits, mean = int(inside.sum()), int(t.correct[inside].sum()), t.confidence[inside].mean()
            low, high = wilson(hits, count)
            found = {
                "count": count, "mean_confidence": mean, "accuracy": hits / count, "accuracy_low": low,
                "accuracy_high": high, "lowest_confidence": t.confidence[inside].min(),
                "highest_confidence": t.confidence[inside].max(),
            }  # fmt: skip
            for key, value in found.items():
                check.same(f"{where} {key}", row[key], value)
            error += count / t.n * abs(hits / count - mean)
        check.number(f"{run['name']} ece {scheme}", run["numbers"][f"ece_{scheme}"], error, t.n)
    check.same(f"calibration.csv {run['name']} rows left over", len(lines), 0)


def check_curves(check: Check, path: Path, truths: dict[str, Truth], exact: bool) -> None:
    """Every point of curves.csv, and that no corner of a curve is missing."""
    for (name, label), points in read_curves(path):
        t = truths[name]
        onehot = t.y[:, None] == np.arange(t.classes)
        if label == "micro":
            truth, scores = onehot.ravel(), t.odds.ravel()
        else:
            truth, scores = onehot[:, int(label)], t.odds[:, int(label)]
        where = f"curves.csv {name} {label}"
        tp, fp = points[:, 1], points[:, 2]
        check.same(f"{where} positives", points[0, 3], truth.sum())
        check.same(f"{where} negatives", points[0, 4], (~truth).sum())
        positive, negative = np.sort(scores[truth]), np.sort(scores[~truth])
        check.same(f"{where} true positives", miscounted(positive, points[:, 0], tp), 0)
        check.same(f"{where} false positives", miscounted(negative, points[:, 0], fp), 0)
        if exact:
            area = metrics.auc(np.r_[0, fp / points[0, 4]], np.r_[0, tp / points[0, 3]])
            check.same(f"{where} area of the points", area, metrics.roc_auc_score(truth, scores))
            ap = np.sum(np.diff(tp, prepend=0) / points[0, 3] * tp / (tp + fp))
            check.same(f"{where} average precision of the points", ap, metrics.average_precision_score(truth, scores))


def miscounted(scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> int:
    """How many thresholds are not reached by as many of the sorted scores as the report says.

    Scores within rounding of a threshold may count or not: in a million rows some are that near. A count that
    is wrong by such a score still moves the areas of exact curves, which are compared to 1e-12.
    """
    slack = 1e-12 * np.maximum(1.0, np.abs(thresholds))
    least, most = (len(scores) - np.searchsorted(scores, thresholds + side * slack) for side in (1, -1))
    return int(np.sum((counts < least) | (counts > most)))


def read_curves(path: Path) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """(run, class) and its points [T, 5], one curve in memory at a time."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for (run, label), rows in groupby(reader, key=lambda row: row[:2]):
            yield (run, label), np.array([row[2:] for row in rows], float)


def check_groups(check: Check, content: dict[str, Any]) -> None:
    """Means and standard deviations over seeds."""
    runs = {run["name"]: run for run in content["runs"]}
    for group in content["groups"]:
        for key, entry in group["numbers"].items():
            values = [runs[name]["numbers"][key]["value"] for name in group["evaluated"]]
            known = [value for value in values if value is not None]
            whole = len(known) == len(values)
            mean = np.mean(known) if whole else None
            sd = np.std(known, ddof=1) if whole and len(known) > 1 else None
            check.number(f"{group['label']} mean {key}", entry["mean"], mean, len(known))
            check.number(f"{group['label']} sd {key}", entry["sd"], sd, len(known))


def check_comparisons(check: Check, content: dict[str, Any], truths: dict[str, Truth]) -> None:
    """Exact McNemar and Holm."""
    pairs = content["comparisons"]
    p_values = []
    for pair in pairs:
        a, b = truths[pair["first"]].correct, truths[pair["second"]].correct
        where = f"{pair['first']} against {pair['second']}"
        first, second = int((a & ~b).sum()), int((~a & b).sum())
        check.same(f"{where} only first", pair["only_first_correct"], first)
        check.same(f"{where} only second", pair["only_second_correct"], second)
        p_values.append(binomtest(min(first, second), first + second).pvalue if first + second else 1.0)
        check.number(f"{where} p", pair["p_value"], p_values[-1], first + second)
    check_holm(check, pairs, p_values)


def check_holm(check: Check, pairs: list[dict[str, Any]], p_values: list[float]) -> None:
    """Holm's correction."""
    running = 0.0
    for rank, index in enumerate(sorted(range(len(pairs)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, p_values[index] * (len(pairs) - rank)))
        check.number(f"pair {index} Holm", pairs[index]["p_holm"], running, len(pairs))


def check_confusion(check: Check, path: Path, content: dict[str, Any], truths: dict[str, Truth]) -> None:
    """Every cell of confusion.csv."""
    members = {group["label"]: group["evaluated"] for group in content["groups"]}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = [row["name"]] if row["scope"] == "run" else members[row["name"]]
            true, predicted = int(row["true"]), int(row["predicted"])
            counts = [int(truths[name].matrix[true, predicted]) for name in names]
            total = sum(int(truths[name].matrix[true].sum()) for name in names)
            where = f"confusion.csv {row['name']} {true} {predicted}"
            check.same(where, row["count"], sum(counts))
            check.same(f"{where} share", row["row_share"] or None, sum(counts) / total if total else None)
            if row["scope"] == "group":
                check.same(f"{where} mean", row["mean"], np.mean(counts))
                check.same(f"{where} sd", row["sd"] or None, np.std(counts, ddof=1) if len(counts) > 1 else None)


def check_selection(check: Check, content: dict[str, Any]) -> None:
    """The selected run has the best validation metric of its group, its group the best mean."""
    selection = content["selection"]
    if selection["metric"] is None:
        return
    sign = 1 if selection["metric"] == "val_accuracy" else -1
    groups: dict[str, list[float]] = defaultdict(list)
    for run in content["runs"]:
        value = run["validation"][selection["metric"]]
        if "numbers" in run and value is not None:
            groups[run["group"]].append(sign * value)
    check.same("selected value", sign * selection["value"], max(groups[selection["group"]]))
    check.same("selected group", np.mean(groups[selection["group"]]), max(np.mean(v) for v in groups.values()))


def unchecked(check: Check, content: Any, where: str = "metrics.json") -> Iterator[str]:
    """Numbers of the report that nothing above looked at."""
    if isinstance(content, dict):
        if "method" in content and id(content) not in check.seen:
            yield where
        for key, value in content.items():
            yield from unchecked(check, value, f"{where}/{key}")
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from unchecked(check, value, f"{where}/{index}")


def check_errors(check: Check, folder: Path, content: dict[str, Any]) -> None:
    """Every number of a regression, its intervals from the same draws of examples but scored by scikit-learn."""
    errors = {}
    for run in (run for run in content["runs"] if "numbers" in run):
        path = folder / run["predictions"]["file"]
        check.same(f"{run['name']} sha256", run["predictions"]["sha256"], hashlib.sha256(path.read_bytes()).hexdigest())
        with np.load(path, allow_pickle=False) as arrays:
            y, given = arrays["y_true"], arrays["y_pred"].astype(np.float64)
        errors[run["name"]] = np.abs(given - y).mean(axis=1).astype(np.float32).astype(np.float64)
        for at, target in enumerate(run["per_target"]):
            check_target(check, f"{run['name']} {target['name']}", target, y[:, at], given[:, at])
        if len(run["per_target"]) > 1:
            for name, number in run["numbers"].items():
                values = [target["numbers"][name]["value"] for target in run["per_target"]]
                known = [value for value in values if value is not None]
                mean = np.mean(known) if len(known) == len(values) else None
                check.number(f"{run['name']} {name}", number, mean, len(known))
        else:
            check_target(check, f"{run['name']} whole", {**run, "by_quantile": []}, y[:, 0], given[:, 0])
    p_values = []
    for pair in content["comparisons"]:
        where, d = f"{pair['first']} - {pair['second']}", errors[pair["first"]] - errors[pair["second"]]
        means = np.array([d[rows].mean() for rows in draws(len(d))])
        check.number(where, pair["mae_difference"], d.mean(), len(d), tuple(np.quantile(means, [0.025, 0.975])))
        far = int((np.abs(means - d.mean()) >= abs(d.mean())).sum()) if d.mean() else len(means)
        p_values.append((1 + far) / (1 + len(means)))
        check.number(f"{where} p", pair["p_value"], p_values[-1], len(d))
    check_holm(check, content["comparisons"], p_values)


def draws(n: int) -> Iterator[np.ndarray]:
    """The rows of each bootstrap resample."""
    rng = np.random.default_rng(0)
    for _ in range(min(1000, max(200, 20_000_000 // n))):
        yield rng.integers(0, n, n)


def check_target(check: Check, where: str, target: dict[str, Any], y: np.ndarray, given: np.ndarray) -> None:
    """The numbers of one target, and its errors by decile."""
    n, numbers = len(y), target["numbers"]
    scores = {
        "rmse": metrics.root_mean_squared_error,
        "r2": lambda a, b: metrics.r2_score(a, b) if np.ptp(a) else math.nan,
    }
    for name, score in scores.items():
        if name == "r2" and not np.ptp(y):
            check.number(f"{where} {name}", numbers[name], None, n)
            continue
        found = np.array([score(y[rows], given[rows]) for rows in draws(n)])
        interval = tuple(np.quantile(found[np.isfinite(found)], [0.025, 0.975]))
        check.number(f"{where} {name}", numbers[name], score(y, given), n, interval)
    check_mean(check, f"{where} mae", numbers["mae"], np.abs(given - y))
    check_mean(check, f"{where} bias", numbers["bias"], given - y)
    ordered = np.sort(np.abs(given - y))
    below = next(k for k in range(n + 1) if binom.cdf(k, n, 0.5) >= 0.025)  # as many may lie below the median
    interval = (ordered[below - 1], ordered[n - below]) if below else None
    check.number(f"{where} median", numbers["median_absolute_error"], np.median(ordered), n, interval)
    for one in target["by_quantile"]:
        here = (y >= one["low"]) & (y <= one["high"])
        check_mean(check, f"{where} {one['low']}", one["mae"], np.abs(given - y)[here])
        check_mean(check, f"{where} {one['low']}", one["bias"], (given - y)[here])
    if target["by_quantile"]:
        check.same(f"{where} deciles", sum(one["mae"]["n"] for one in target["by_quantile"]), n)


def check_mean(check: Check, where: str, number: dict[str, Any], values: np.ndarray) -> None:
    """A mean with its normal interval."""
    half = norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else None
    interval = None if half is None else (values.mean() - half, values.mean() + half)
    check.number(where, number, values.mean(), len(values), interval)


def check_report(folder: Path) -> Check:
    """Check a whole report."""
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if content.get("task") == "regression":
        check = Check()
        check_errors(check, folder, content)
        check_groups(check, content)
        check_selection(check, content)
        check.failures += [f"{where}: not checked" for where in unchecked(check, content)]
        return check
    with open(folder / "calibration.csv", encoding="utf-8", newline="") as file:
        calibration = list(csv.DictReader(file))
    check = Check()
    truths = {}
    for run in content["runs"]:
        if "numbers" in run:
            truths[run["name"]] = check_run(check, folder, run)
            check_calibration(check, run, truths[run["name"]], calibration)
    exact = not any("bounds" in run["numbers"]["roc_auc_micro"] for run in content["runs"] if "numbers" in run)
    check_curves(check, folder / "curves.csv", truths, exact)
    check_groups(check, content)
    check_comparisons(check, content, truths)
    check_confusion(check, folder / "confusion.csv", content, truths)
    check_selection(check, content)
    check.failures += [f"{where}: not checked" for where in unchecked(check, content)]
    return check


def main(argv: list[str]) -> int:
    """Print what was checked and what differs."""
    if len(argv) != 1 or not (Path(argv[0]) / "metrics.json").exists():
        print("usage: python tests/check_report.py DIR (the folder of a report.html)", file=sys.stderr)
        return 2
    check = check_report(Path(argv[0]))
    for failure in check.failures[:20]:
        print(failure)
    print(f"{check.compared:,} numbers compared, largest difference {check.worst:.2g}, {len(check.failures)} failures")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
