"""Job files with mistakes of every kind, given to the three jobs that read them."""

from __future__ import annotations

import pytest
from mutations import job_file
from outcomes import TRAINING, Tally, quarters

CASES = 800  # each for three jobs


@pytest.mark.parametrize("numbers", quarters(CASES))
def test_a_mutated_job_file_is_taken_or_refused_in_one_line(elsewhere, numbers):
    file, tally = elsewhere / "job.yaml", Tally()
    for number in numbers:
        content = job_file(number)
        file.write_bytes(content)
        for job in TRAINING:
            tally.add(f"{job}, job_file({number}) = {content[:2000]!r}", job, ["--config", "job.yaml"])
    tally.check()
    assert list(elsewhere.iterdir()) == [file]


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUGHS, "more than 20,000 values or 50 levels, aliases followed"),
        ("[" * 5000, "levels deep"),
        ("train: {epochs: " + "9" * 5000 + "}", "not valid YAML: Exceeds the limit"),
        ("x: 1\n" * 60_000, "larger than 256 kB"),
        ('"\\e[2J": 1', r"error: \\x1b\[2J: no such field"),
    ],
)
def test_what_is_no_job_file_is_said(elsewhere, content, said):
    (elsewhere / "job.yaml").write_text(content)
    Tally(refused=said).add(content[:200], "tune", ["--config", "job.yaml"]).check()


def test_aliases_that_a_person_writes_are_followed(elsewhere):
    space = "&space {model.dropout: {uniform: [0, 0.5]}}"
    models = f"{{a: {{search: {{space: {space}}}}}, b: {{search: {{space: *space}}}}}}"
    (elsewhere / "job.yaml").write_text(f"pipeline: {{models: {models}}}")
    tally = Tally().add(models, "pipeline", ["--config", "job.yaml"])
    tally.check()
    assert tally.taken == 1
