"""``nn_train.fit`` in Ray's own ``TensorflowTrainer``, reported with Ray Train's own means."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.usefixtures("local_ray")]


def test_rays_trainer_gets_the_epochs_and_the_model(tmp_path):
    from ray.train import RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    def train_func(config):
        """As a user writes it: one line changed, and one callback more."""
        import keras

        import nn_train

        with nn_train.scope():
            model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        x = np.random.default_rng(1).normal(size=(60, 6)).astype("float32")
        nn_train.fit(model, x, np.arange(60) % 3, epochs=3, callbacks=[nn_train.ray_report()], **config)

    trainer = TensorflowTrainer(
        train_func,
        train_loop_config={"batch_size": 16},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=str(tmp_path), name="run"),
    )
    result = trainer.fit()
    assert result.metrics["epoch"] == 3
    assert {"loss", "accuracy"} <= set(result.metrics)
    with result.checkpoint.as_directory() as folder:
        import keras

        outputs = keras.models.load_model(f"{folder}/model.keras").predict(np.zeros((1, 6)), verbose=0)
    assert outputs.shape == (1, 3)
