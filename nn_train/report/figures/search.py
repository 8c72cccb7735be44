"""The search: history, parallel coordinates, slices, importance, survival at the rungs."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes

from nn_train.report.figures.palette import MUTED, series_colour
from nn_train.report.figures.panel import Panel, Table, cut, logarithmic, make_panel, name_rows
from nn_train.report.figures.parallel import parallel_panel, spans_decades
from nn_train.report.formats import decimal, general
from nn_train.report.importance import Importance
from nn_train.report.inputs.search_results import SearchResult, Trial

SLICES = 8
MANY_POINTS = 1_500  # beyond it points are drawn as one picture, or the page would grow with the search


def search_panels(search: SearchResult, importances: Importance | str) -> Iterator[Panel]:
    """The panels that the trials allow."""
    valued = [trial for trial in search.trials if trial.value is not None]
    if valued:
        yield history_panel(search, valued)
    if search.completed and search.params:
        yield parallel_panel(search)
    if isinstance(importances, Importance):
        yield importance_panel(search, importances)
    if search.rungs:
        yield survival_panel(search)
    for name in search.params[:SLICES] if search.completed else ():
        yield slice_panel(search, name)


def history_panel(search: SearchResult, valued: list[Trial]) -> Panel:
    """Each trial's value in order of start, and the best completed one so far."""
    place = {trial.trial_id: number for number, trial in enumerate(search.trials, start=1)}
    improvements: list[tuple[int, Trial]] = []
    for trial in search.completed:
        best = improvements[-1][1].score if improvements else None
        if best is None or search.better(trial.score, best):
            improvements.append((place[trial.trial_id], trial))

    def paint(axes: Axes) -> None:
        for done, style, label in ((False, 4, "stopped early"), (True, 0, "completed")):
            points = [trial for trial in valued if (trial.status == "completed") is done]
            x, y = [place[trial.trial_id] for trial in points], [trial.score for trial in points]
            scatter(axes, x, y, style, "o" if done else "x", label)
        if improvements:
            x = [at for at, _ in improvements] + [len(search.trials)]
            y = [trial.score for _, trial in improvements] + [improvements[-1][1].score]
            axes.plot(x, y, color=series_colour(1), drawstyle="steps-post", label="best so far")
        axes.set(xlabel="trial, in order of start", ylabel=search.metric)
        axes.legend(loc="best", fontsize=8, frameon=False)

    if improvements:
        at, best_trial = improvements[-1]
        words = f"The best {search.metric} is {decimal(best_trial.value)}, from trial {at} of {len(search.trials)}."
    else:
        words = f"None of {len(search.trials)} trials completed."
    rows = [(str(at), trial.trial_id, decimal(trial.value)) for at, trial in improvements]
    table = Table(("trial number", "trial", f"best {search.metric} so far"), rows)
    return make_panel(f"{search.stem}_history", "Search history", words, table, paint)


def slice_panel(search: SearchResult, name: str) -> Panel:
    """The value of completed trials against one setting."""
    trials = search.completed
    numeric = all(isinstance(trial.params[name], float) for trial in trials)
    texts = sorted({str(trial.params[name]) for trial in trials})

    def paint(axes: Axes) -> None:
        if numeric:
            x = [float(trial.params[name]) for trial in trials]
        else:
            x = [float(texts.index(str(trial.params[name]))) for trial in trials]
            axes.set_xticks(range(len(texts)), [cut(text, 14) for text in texts])
        scatter(axes, x, [trial.score for trial in trials], 0, "o", "completed")
        if numeric and spans_decades(x):
            logarithmic(axes.xaxis, x)
        axes.set(xlabel=cut(name), ylabel=search.metric)

    best = search.ranked()[: max(1, len(trials) // 10)]
    used = [trial.params[name] for trial in best]
    if numeric:
        least, most = general(min(map(float, used))), general(max(map(float, used)))
        where = least if least == most else f"between {least} and {most}"
    else:
        where = ", ".join(sorted({str(value) for value in used}))
    return make_panel(
        f"{search.stem}_slice_{search.params.index(name)}",
        f"{search.metric} against {name}",
        f"The best tenth of the completed trials ({len(best)}) have {name} {where}.",
        Table(
            ("trial", name, search.metric),
            [(trial.trial_id, general(trial.params[name]), decimal(trial.value)) for trial in search.ranked()[:20]],
        ),
        paint,
        height=2.8,
    )


def scatter(axes: Axes, x: list[int] | list[float], y: list[float], style: int, marker: str, label: str) -> None:
    """Points; very many become one picture inside the SVG."""
    axes.plot(
        x, y, linestyle="none", marker=marker, markersize=4, alpha=0.7, color=series_colour(style), label=label,
        rasterized=len(x) > MANY_POINTS,
    )  # fmt: skip


def importance_panel(search: SearchResult, importances: Importance) -> Panel:
    """Mean and spread of each setting's permutation importance."""
    entries = list(importances.scores.items())

    def paint(axes: Axes) -> None:
        for row, (_, (mean, sd)) in enumerate(entries):
            axes.barh(row, max(mean, 0.0), height=0.6, color=series_colour(0))
            axes.plot([max(mean - sd, 0.0), mean + sd], [row, row], color=MUTED, linewidth=1.2)
        name_rows(axes, [name for name, _ in entries])
        axes.set_xlabel("loss of R² when the setting is shuffled")

    warning = f" Careful: {importances.warning}." if importances.warning else ""
    return make_panel(
        f"{search.stem}_importance",
        "Importance of the settings",
        f"{entries[0][0]} mattered most, judged by a random forest over {importances.trials} completed trials "
        f"(R² {importances.fit:.2f} on trials left out).{warning}",
        Table(
            ("setting", "importance", "SD over shuffles"),
            [(name, decimal(mean, 3), decimal(sd, 3)) for name, (mean, sd) in entries],
        ),
        paint,
        height=max(1.6, 0.7 + 0.3 * len(entries)),
    )


def survival_panel(search: SearchResult) -> Panel:
    """How many trials reached each rung of the scheduler."""
    counts = [(rung, sum(trial.epochs >= rung for trial in search.trials)) for rung in search.rungs]

    def paint(axes: Axes) -> None:
        for row, (_, count) in enumerate(counts):
            axes.bar(row, count, width=0.6, color=series_colour(0))
            axes.annotate(f"{count:,}", (row, count), ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(counts)), [str(rung) for rung, _ in counts])
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="epochs trained", ylabel="trials")

    words = ", ".join(f"{count:,} reached epoch {rung}" for rung, count in counts)
    total = len(search.trials)
    rows = [(str(rung), f"{count:,}", f"{100 * count / total:.1f} %" if total else "–") for rung, count in counts]
    table = Table(("rung (epochs)", "trials", "share"), rows)
    return make_panel(
        f"{search.stem}_survival", "Survival at the rungs", f"Of {total:,} trials, {words}.", table, paint
    )
