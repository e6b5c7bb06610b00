"""What must be the same on any number of replicas: trainers, their data, and the dtype policy."""

import keras
import numpy as np

from keras_contrastive import ContrastiveTrainer, losses, metrics
from keras_contrastive.augmentation import RandomTokenMasking
from keras_contrastive.config import set_tile_shape
from keras_contrastive.layers import (
    BrownianBridge,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    LearnableBias,
    LearnableTemperature,
)
from tests.helpers.backend import FEW_LEFT
from tests.helpers.fusion_trainers import data, fusion_trainer
from tests.helpers.towers import settle, tower, towers

DIM = 4


def _two_towers(loss, ids=True):
    def make(x):
        model = ContrastiveTrainer(towers())
        rows = len(x["image"])
        model({name: array[:1] for name, array in x.items()})
        compiled_with = {"loss": loss(), "metrics": [metrics.Alignment()]}
        return (
            model,
            compiled_with,
            x,
            np.arange(rows, dtype="int32") % (rows - 3) if ids else None,
            None,
        )

    return make


def _remembering(**kwargs):
    return lambda: losses.GammaContrastive(num_items=42, temperature=0.5, seed=1, **kwargs)


def _weighted(x):
    model, compiled_with, x, ids, _ = _two_towers(losses.InfoNCE)(x)
    return model, compiled_with, x, ids, np.linspace(0.5, 2.0, len(x["image"])).astype("float32")


def _missing(x):
    model = ContrastiveTrainer(towers(), presence_inputs={"has_text": "text"})
    compiled_with = {
        "loss": losses.NTXent(0.5),
        "metrics": [metrics.Alignment(), metrics.ModalityGap()],
    }
    x = {**x, "has_text": np.arange(len(x["image"])) % 5 > 0}
    return model, compiled_with, x, None, None


def _hard_negatives(x):
    model = ContrastiveTrainer(towers(), hard_negatives={"wrong": "text"})
    compiled_with = {"loss": losses.InfoNCE(0.5), "metrics": [metrics.Uniformity()]}
    return model, compiled_with, {**x, "wrong": x["text"][::-1].copy()}, None, None


def _labeled(x):
    encoder = settle(tower(6))
    model = ContrastiveTrainer(encoder, keras.layers.Identity())
    compiled_with = {"loss": losses.SupCon(0.5), "metrics": [metrics.EffectiveRank()]}
    return model, compiled_with, x["image"], np.arange(len(x["image"]), dtype="int32") % 7, None


class _Noise(keras.layers.Layer):
    """A regularizer of a user's own."""

    def penalty(self, views):
        return keras.ops.mean(keras.ops.square(views["image"] - views["text_augmented"]))


def _structures(micro_batch_size=None):
    def make(x):
        tokens = keras.Sequential(
            [keras.Input((5,), dtype="int32"), keras.layers.Embedding(9, 4), _Mean()]
        )
        image = towers()["image"]
        model = ContrastiveTrainer(
            {"image": image, "text": settle(tokens, 1)},
            augmenters={
                "image": keras.layers.Identity(),
                "text": RandomTokenMasking(rate=0.4, mask_id=8, seed=3),
            },
            regularizers=[
                DeepFeatureSeparation(weight=0.1),
                BrownianBridge(t=(0.1, 0.9), modalities="text", seed=5),
                GeometricConsistency(weight=0.1),
                _Noise(name="noise"),
            ],
            micro_batch_size=micro_batch_size,
        )
        x = {"image": x["image"], "text": np.clip(x["text"] * 4 + 4, 1, 7).astype("int32")}
        model({name: array[:1] for name, array in x.items()})
        settle(model.regularizers[0], 2)
        compiled_with = {
            "loss": losses.InfoNCE(LearnableTemperature(0.5)),
            "metrics": [metrics.ModalityGap()],
        }
        return model, compiled_with, x, None, None

    return make


def _fusion(micro_batch_size=None):
    def make(x):
        x = data(len(x["image"]))
        regularizers = [DeepFeatureSeparation(weight=0.1), GeometricConsistency(weight=0.1)]
        model = fusion_trainer(
            micro_batch_size=micro_batch_size,
            regularizers=regularizers,
            presence_inputs={"there": "text"},
        )
        settle(model.regularizers[0], 2)
        loss = losses.InfoNCE(LearnableTemperature(0.5), memory=EmbeddingQueue(20, DIM))
        rows = np.arange(len(x["text"]), dtype="int32")
        x["there"] = (rows % 7 > 0).astype("int32")
        return (
            model,
            {"loss": loss},
            x,
            rows % 37,
            np.linspace(0.5, 2.0, len(rows)).astype("float32"),
        )

    return make


def _plain_model(x):
    """No trainer: the loss is given to `keras.Model`, as any other."""
    inputs = {name: keras.Input(rows.shape[1:], name=name) for name, rows in x.items()}
    embeddings = [tower(inputs[name]) for name, tower in towers().items()]
    model = keras.Model(
        inputs, keras.layers.Lambda(lambda views: keras.ops.stack(views, axis=1))(embeddings)
    )
    return (
        model,
        {"loss": losses.InfoNCE(0.5)},
        x,
        np.arange(len(x["image"]), dtype="int32") % 37,
        None,
    )


def _wrapped_module(x):
    """A module of PyTorch, in a `DistributedDataParallel` where there are several processes."""
    import torch

    class Alone(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    wrap = (
        torch.nn.parallel.DistributedDataParallel if torch.distributed.is_initialized() else Alone
    )
    torch.manual_seed(3)
    image = keras.layers.TorchModuleWrapper(wrap(torch.nn.Linear(6, DIM)))
    model = ContrastiveTrainer({"image": image, "text": towers()["text"]})
    model({name: array[:1] for name, array in x.items()})
    return model, {"loss": losses.InfoNCE(0.5)}, x, None, None


class _Mean(keras.layers.Layer):
    def call(self, tokens):
        return keras.ops.mean(tokens, axis=1)


def _tiled(make):
    def tiled(x):
        set_tile_shape((5, 3))
        return make(x)

    return tiled


def _few(make):
    """With a last batch of fewer rows than there are replicas, where that can be."""
    return lambda x: make({name: rows[:FEW_LEFT] for name, rows in x.items()})


def _queue():
    return losses.InfoNCE(0.5, memory=EmbeddingQueue(20, DIM))


def _sigmoid():
    return losses.SigmoidContrastive(LearnableTemperature(0.5), LearnableBias(-2.0))


# By name: the maker, and the dtype policy.
CASES = {
    "info_nce": (_two_towers(losses.InfoNCE, ids=False), "float32"),
    "jackknife": (_two_towers(lambda: losses.InfoNCE(0.5, bias_correction="jackknife")), "float32"),
    "weighted": (_weighted, "float32"),
    "summed": (_two_towers(lambda: losses.InfoNCE(0.5, reduction="sum")), "float32"),
    "gamma": (_two_towers(_remembering(draws=1)), "float32"),
    "gamma_temperature": (
        _two_towers(
            lambda: losses.GammaContrastive(LearnableTemperature(0.5), num_items=42, seed=1)
        ),
        "float32",
    ),
    "global": (
        _two_towers(lambda: losses.GlobalContrastive(42, all_views=True, momentum="visits")),
        "float32",
    ),
    "decoupled": (
        _two_towers(lambda: losses.DecoupledContrastive(0.5, weight_sigma=0.5)),
        "float32",
    ),
    "sigmoid": (_two_towers(_sigmoid), "float32"),
    "sup_con": (_labeled, "float32"),
    "per_direction": (
        _two_towers(lambda: losses.InfoNCE(LearnableTemperature(0.5, per_direction=True))),
        "float32",
    ),
    "queue": (_two_towers(_queue), "float32"),
    "hard_negatives": (_hard_negatives, "float32"),
    "missing": (_missing, "float32"),
    "structures": (_structures(), "float32"),
    "micro_batches": (_structures(micro_batch_size=3), "float32"),
    "fusion": (_fusion(), "float32"),
    "fusion_in_micro_batches": (_fusion(micro_batch_size=3), "float32"),
    "few_left": (_few(_two_towers(_remembering())), "float32"),
    "tiled": (_tiled(_two_towers(losses.InfoNCE)), "float32"),
    "tiled_gamma": (_tiled(_two_towers(_remembering(draws=1, all_views=True))), "float32"),
    "tiled_sup_con": (_tiled(_labeled), "float32"),
    "mixed_precision": (_two_towers(_remembering()), "mixed_bfloat16"),
}
if keras.backend.backend() == "torch":  # where a plain model knows of no other process
    CASES["data_parallel"] = (_wrapped_module, "float32")
else:
    CASES["plain_model"] = (_plain_model, "float32")
