"""Colours that colour-blind readers tell apart, and SVG that a strict policy accepts."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from report_folders import evaluate_runs, write_run

from nn_train.report import load_inputs
from nn_train.report.figures.palette import CSS_VARIABLES, DARK_HUES, HUES
from nn_train.report.figures.svg import draw, for_page
from nn_train.report.render import render

# Severity 1 of G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation
# of Color Vision Deficiency", 2009; applied to linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(np.clip(xyz, 0, None) / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("hues", [HUES, DARK_HUES], ids=["light", "dark"])
def test_hues_stay_apart(hues: tuple[str, ...], vision: str) -> None:
    seen = {hue: lab(np.clip(np.array(VISION[vision]) @ linear(hue), 0, 1)) for hue in hues}
    distances = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(hues, 2)}
    assert min(distances.values()) > 15, min(distances.items(), key=lambda entry: entry[1])


def test_the_style_sheet_has_the_colours_of_the_palette() -> None:
    import nn_train.report

    css = (Path(nn_train.report.__file__).parent / "page" / "report.css").read_text(encoding="utf-8")
    light, dark = css.split("prefers-color-scheme: dark", 1)
    for colour, variable in CSS_VARIABLES.items():
        assert f"{variable}: {colour};" in light
    for index, hue in enumerate(DARK_HUES):
        assert f"--s{index}: {hue};" in dark


def test_a_drawing_is_the_same_every_time_and_needs_no_inline_style() -> None:
    def paint(axes) -> None:
        axes.plot([0, 1], [1, 3], color=HUES[1], gid="series:g1 r2")
        axes.set_xlabel("<b> & $5 ${x}")

    first, second = draw("key", paint), draw("key", paint)
    assert first == second
    assert " style=" not in first
    assert "<style" not in first
    assert 'data-series="g1 r2"' in first
    assert "&lt;b&gt; &amp; $5 ${x}" in first
    assert not re.search(r"\d{4}-\d\d-\d\dT", first)


def test_the_page_gets_variables_and_names() -> None:
    page = for_page(draw("key", lambda axes: axes.plot([0, 1], color=HUES[0])), "t", "d")
    assert page.startswith('<svg role="img" aria-labelledby="t" aria-describedby="d"')
    assert HUES[0] not in page
    assert 'stroke="var(--s0)"' in page
    assert "http" not in page


def test_a_learning_rate_that_ends_at_zero_is_drawn_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    lines = [f'{{"epoch": {epoch}, "learning_rate": {rate}}}' for epoch, rate in ((1, 2e-3), (2, 1.5e-3), (3, 0.0))]
    (run / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    output = evaluate_runs([run], tmp_path / "out")
    page = render(load_inputs(output), output).read_text(encoding="utf-8")
    svg = (output / "figures" / "learning_learning_rate.svg").read_text(encoding="utf-8")
    assert "Median over seeds after the last epoch: mlp 0." in page
    assert re.search(r'<path d="M [\d. ]+\s+L [\d. ]+\s+L [\d. ]+\s*"[^>]*stroke="#0065a8"', svg)  # three points
