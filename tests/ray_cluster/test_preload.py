"""Processes that have imported TensorFlow before they are given work: how many, of which package, and that they do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nn_train.config.schema import ScalingConfig
from nn_train.ray_cluster.preload import Preload, finds_this_package, preload_for


@pytest.mark.parametrize(
    ("workers", "cpus_per_worker", "cpus", "expected"),
    [(2, 1, 2, 2), (2, 1, 64, 2), (100, 1, 4, 4), (100, 4, 8, 2), (3, 0.5, 2, 2), (1, 4, 2, 1)],
)
def test_as_many_are_started_in_advance_as_there_are_workers_and_room(
    workers: int, cpus_per_worker: float, cpus: int, expected: int
) -> None:
    assert Preload(workers, cpus_per_worker, "module").in_advance(cpus) == expected


def test_workers_on_gpus_see_theirs_before_they_import() -> None:
    assert preload_for(ScalingConfig(use_gpu=True), 1, "module") is None
    assert preload_for(ScalingConfig(), 1, "module") == Preload(1, 1, "module")


def test_another_copy_of_the_package_is_not_imported_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    assert finds_this_package()
    (tmp_path / "nn_train").mkdir()
    (tmp_path / "nn_train" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    assert not finds_this_package()
    monkeypatch.setenv("PYTHONPATH", os.pathsep + root)  # the empty entry is the working directory
    monkeypatch.chdir(tmp_path)
    assert not finds_this_package()


@pytest.mark.parametrize("found", [True, False])
def test_ray_is_told_what_to_import_only_where_it_finds_this_package(
    found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from nn_train.ray_cluster import local_ray

    told: list[str | None] = []
    monkeypatch.setattr(ray, "init", lambda **options: told.append(os.environ.get(local_ray.MODULES)))
    monkeypatch.setattr(local_ray, "finds_this_package", lambda: found)
    local_ray.start(with_logs=False, preload=Preload(1, 1, "module"))
    local_ray.start(with_logs=False)
    assert told == ["nn_train.engine.import_now,module" if found else None, None]


def test_a_tensorflow_that_cannot_be_imported_is_left_to_the_work(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise OSError('broken')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    subprocess.run([sys.executable, "-c", "import nn_train.engine.import_now"], env=environment, check=True)


def test_ray_data_and_pandas_are_not_imported_with_ray_train() -> None:
    code = "import sys, nn_train.training.import_now; print({'ray.train', 'ray.data', 'pandas'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "{'ray.train'}\n"


@pytest.mark.ray
def test_a_worker_has_imported_before_it_is_given_work() -> None:
    import ray

    from nn_train.ray_cluster.session import ray_session

    wanted = {"keras", "nn_train.engine.loops", "nn_train.training.ray_train"}
    with ray_session(verbose=False, preload=Preload(1, 1, "nn_train.training.ray_train")):
        assert "RAY_preload_python_modules" not in os.environ

        @ray.remote(num_cpus=1)
        class Worker:
            def known(self) -> set[str]:
                return set(sys.modules) & wanted

        assert ray.get(Worker.remote().known.remote()) == wanted
