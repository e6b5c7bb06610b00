"""Trainers and data that give the same result on any number of replicas."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_contrastive import ContrastiveTrainer, losses, metrics
from keras_contrastive.augmentation import RandomTokenMasking
from keras_contrastive.config import set_tile_shape
from keras_contrastive.layers import (
    BrownianBridge,
    ClassProxies,
    DeepFeatureSeparation,
    EmbeddingQueue,
    GeometricConsistency,
    ItemTemperature,
    LearnableBias,
    LearnableTemperature,
    MomentumTeacher,
)
from keras_contrastive.samplers import ClassBalanced
from tests.helpers.fusion_trainers import data, fusion_trainer
from tests.helpers.replicas import FEW_LEFT
from tests.helpers.towers import Shift, settle, tower, towers

DIM = 4


def _two_towers(loss, ids=True):
    def make(x):
        model = ContrastiveTrainer(towers())
        rows = len(x["image"])
        model({name: array[:1] for name, array in x.items()})
        compile_arguments = {"loss": loss(), "metrics": [metrics.Alignment()]}
        return (
            model,
            compile_arguments,
            x,
            np.arange(rows, dtype="int32") % (rows - 3) if ids else None,
            None,
        )

    return make


def _gamma(**kwargs):
    return lambda: losses.GammaContrastive(num_items=42, temperature=0.5, seed=1, **kwargs)


def _weighted(x):
    model, compile_arguments, x, ids, _ = _two_towers(losses.InfoNCE)(x)
    return (
        model,
        compile_arguments,
        x,
        ids,
        np.linspace(0.5, 2.0, len(x["image"])).astype("float32"),
    )


def _missing(x):
    model = ContrastiveTrainer(towers(), present={"has_text": "text"})
    compile_arguments = {
        "loss": losses.NTXent(0.5),
        "metrics": [metrics.Alignment(), metrics.ModalityGap()],
    }
    # Not bool: Keras with a TensorFlow strategy takes the mean of one batch of each input in `fit`.
    x = {**x, "has_text": (np.arange(len(x["image"])) % 5 > 0).astype("int32")}
    return model, compile_arguments, x, None, None


def _statistics(loss):
    """Rows that lack a view, and weights, in statistics of the global batch."""

    def make(x):
        model, _, x, _, _ = _missing(x)
        weights = np.linspace(0.5, 2.0, len(x["image"])).astype("float32")
        return model, {"loss": loss()}, x, None, weights

    return make


def _hard_negatives(x):
    model = ContrastiveTrainer(
        towers(),
        hard_negatives={"wrong": "text", "others": "text"},
        hard_negative_ids={"other_ids": "others"},
    )
    compile_arguments = {"loss": losses.InfoNCE(0.5), "metrics": [metrics.Uniformity()]}
    rows = np.arange(len(x["text"]), dtype="int32")
    other_ids = np.stack([rows, (rows + 1) % len(rows)], axis=1)  # the positive, and another row
    x = {**x, "wrong": x["text"][::-1].copy(), "others": x["text"][other_ids]}
    return model, compile_arguments, {**x, "other_ids": other_ids}, None, None


def _log_weights(x):
    names = {"log_weight": "text", "log_weights_of_others": "others"}
    model, _, x, ids, _ = _hard_negatives(x)
    model = ContrastiveTrainer(
        towers(),
        hard_negatives=model.hard_negatives,
        hard_negative_ids=model.hard_negative_ids,
        log_weights=names,
    )
    queue = EmbeddingQueue(20, DIM, batch_share=0.5, log_weights=True)
    x["log_weight"] = np.linspace(-1, 1, len(x["text"])).astype("float32")
    x["log_weights_of_others"] = np.stack([x["log_weight"], -x["log_weight"]], axis=1)
    return model, {"loss": losses.NTXent(0.5, memory=queue)}, x, ids, None


def _guided(x):
    model, _, x, ids, _ = _hard_negatives(x)
    model = ContrastiveTrainer(
        towers(),
        hard_negatives=model.hard_negatives,
        hard_negative_ids=model.hard_negative_ids,
        guides=towers(seed=7),
    )
    return model, {"loss": losses.NTXent(0.5, ignore_above=("relative", 0.2))}, x, ids, None


def _matryoshka(x):
    model, compile_arguments, *data = _hard_negatives(x)
    loss = losses.InfoNCE(LearnableTemperature(0.5))
    return model, {**compile_arguments, "loss": losses.Matryoshka(loss, (2, DIM), (1, 2))}, *data


def _labeled(x):
    encoder = settle(tower(6))
    model = ContrastiveTrainer(encoder, keras.layers.Identity())
    compile_arguments = {"loss": losses.SupCon(0.5), "metrics": [metrics.EffectiveRank()]}
    return model, compile_arguments, x["image"], np.arange(len(x["image"]), dtype="int32") % 7, None


def _similar(x):
    model, _, x, labels, weights = _labeled(x)
    return model, {"loss": losses.MultiSimilarity(beta=10.0)}, x, labels, weights


def _circles(x):
    model, _, x, labels, weights = _labeled(x)
    return model, {"loss": losses.Circle(gamma=5.0)}, x, labels, weights


def _classes(x):
    model, _, x, labels, weights = _labeled(x)
    loss = losses.ArcFace(ClassProxies(7, DIM), 0.2, LearnableTemperature(0.5))
    loss.build()
    settle(loss.proxies, 4)
    return model, {"loss": loss}, x, labels, weights


def _triplets(mining):
    def make(x):
        model, compile_arguments, x, _, weights = _two_towers(lambda: losses.Triplet(0.7, mining))(
            x
        )
        return model, compile_arguments, x, np.arange(len(x["image"]), dtype="int32") % 7, weights

    return make


def _slow_targets(loss, **parts):
    """Candidates from a teacher."""

    def make(x):
        teacher = MomentumTeacher(0.7)
        model = ContrastiveTrainer(settle(tower(6)), Shift(0.5), teacher=teacher, **parts)
        model(x["image"][:1])
        return model, {"loss": loss()}, x["image"], None, None

    return make


def _byol(x):
    return _slow_targets(losses.NegativeCosine, predictors=settle(tower(DIM), 2))(x)


def _slow_queue():
    return losses.InfoNCE(0.5, memory=EmbeddingQueue(20, DIM, warmup_steps=1))


def _class_balanced(x):
    model, compile_arguments, image, labels, _ = _labeled(x)
    return model, compile_arguments, ClassBalanced(image, labels, 4, 3), None, None


class _Noise(keras.layers.Layer):
    """A regularizer that a user wrote."""

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
        compile_arguments = {
            "loss": losses.InfoNCE(LearnableTemperature(0.5)),
            "metrics": [metrics.ModalityGap()],
        }
        return model, compile_arguments, x, None, None

    return make


def _fusion(micro_batch_size=None):
    def make(x):
        x = data(len(x["image"]))
        regularizers = [DeepFeatureSeparation(weight=0.1), GeometricConsistency(weight=0.1)]
        model = fusion_trainer(
            micro_batch_size=micro_batch_size,
            regularizers=regularizers,
            present={"has_text": "text"},
        )
        settle(model.regularizers[0], 2)
        loss = losses.InfoNCE(LearnableTemperature(0.5), memory=EmbeddingQueue(20, DIM))
        rows = np.arange(len(x["text"]), dtype="int32")
        x["has_text"] = (rows % 7 > 0).astype("int32")
        return (
            model,
            {"loss": loss},
            x,
            rows % 37,
            np.linspace(0.5, 2.0, len(rows)).astype("float32"),
        )

    return make


def _plain_model(x):
    """A loss of a `keras.Model` without a trainer."""
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
    """A PyTorch module, in a `DistributedDataParallel` if there are several processes."""
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
    """A case whose last batch has fewer rows than there are replicas, where Keras allows it."""
    return lambda x: make({name: rows[:FEW_LEFT] for name, rows in x.items()})


def _queue():
    return losses.InfoNCE(0.5, memory=EmbeddingQueue(20, DIM))


def _sigmoid():
    return losses.SigmoidContrastive(LearnableTemperature(0.5), LearnableBias(-2.0))


class Case(NamedTuple):
    """A function from data to a model with data, and how it is trained.

    `core` cases run with two replicas in the plain run, `evaluated` ones are evaluated as well.
    Cases of `more_replicas` run with four replicas in the full run.
    """

    make: Callable
    policy: str = "float32"
    core: bool = False
    evaluated: bool = True
    more_replicas: bool = False


def _core(make, evaluated=False, **kwargs):
    return Case(make, core=True, evaluated=evaluated, **kwargs)


def _gamma_with_temperature():
    return losses.GammaContrastive(LearnableTemperature(0.5), num_items=42, seed=1)


CASES = {
    "info_nce": _core(_two_towers(losses.InfoNCE, ids=False), evaluated=True, more_replicas=True),
    "nt_xent": _core(_missing),
    "sup_con": _core(_labeled, evaluated=True, more_replicas=True),
    "gamma": _core(_two_towers(_gamma(draws=1)), more_replicas=True),
    "gamma_shared": Case(
        _two_towers(lambda: losses.GammaContrastive(0.5, draws=1, seed=1), ids=False)
    ),
    "global": _core(
        _two_towers(lambda: losses.GlobalContrastive(42, all_views=True, momentum="visits"))
    ),
    "decoupled": _core(_two_towers(lambda: losses.DecoupledContrastive(0.5, weight_sigma=0.5))),
    "sigmoid": _core(_two_towers(_sigmoid), more_replicas=True),
    "arc_face": _core(_classes),
    "triplet": _core(_triplets("all"), more_replicas=True),
    "queue": _core(_two_towers(_queue), more_replicas=True),
    "barlow_twins": _core(_statistics(losses.BarlowTwins), more_replicas=True),
    "micro_batches": _core(_structures(micro_batch_size=3)),
    "item_temperature": Case(
        _two_towers(lambda: losses.GlobalContrastive(42, ItemTemperature(0.5, 0.1, 0.9)))
    ),
    "jackknife": Case(_two_towers(lambda: losses.InfoNCE(0.5, bias_correction="jackknife"))),
    "class_balanced": Case(_class_balanced),
    "weighted": Case(_weighted),
    "summed": Case(_two_towers(lambda: losses.InfoNCE(0.5, reduction="sum"))),
    "gamma_temperature": Case(_two_towers(_gamma_with_temperature)),
    "per_direction": Case(
        _two_towers(lambda: losses.InfoNCE(LearnableTemperature(0.5, per_direction=True)))
    ),
    "hard_negatives": Case(_hard_negatives),
    "log_weights": Case(_log_weights),
    "guided": Case(_guided),
    "tiled_guided": Case(_tiled(_guided)),
    "matryoshka": Case(_matryoshka),
    "structures": Case(_structures(), more_replicas=True),
    "fusion": Case(_fusion()),
    "fusion_in_micro_batches": Case(_fusion(micro_batch_size=3)),
    "multi_similarity": Case(_similar),
    "circle": Case(_circles),
    "vicreg": Case(_statistics(losses.VICReg), more_replicas=True),
    "few_left": Case(_few(_two_towers(_gamma())), more_replicas=True),
    "tiled": Case(_tiled(_two_towers(losses.InfoNCE)), more_replicas=True),
    "tiled_gamma": Case(_tiled(_two_towers(_gamma(draws=1, all_views=True)))),
    "triplet_hard": Case(_triplets("hard")),
    "tiled_triplet": Case(_tiled(_triplets("semi_hard"))),
    "moco": Case(_slow_targets(_slow_queue)),
    "byol": Case(_byol),
    "tiled_sup_con": Case(_tiled(_labeled)),
    "mixed_precision": Case(_two_towers(_gamma()), "mixed_bfloat16"),
}
if keras.backend.backend() == "torch":
    # On PyTorch, only the trainer combines the processes; a plain model does not.
    CASES["data_parallel"] = _core(_wrapped_module)
else:
    CASES["plain_model"] = _core(_plain_model)
