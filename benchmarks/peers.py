"""The compared losses: those of this library, their plain formulas, and those of other libraries.

`our_losses.py` describes the inputs.
"""

import dataclasses
import importlib.util
from collections.abc import Callable

import keras
from keras import ops
from our_losses import OURS, TEMPERATURE, classes_of, items_of

import keras_contrastive as kc

BIAS = -10.0
# The number of products of (batch, batch, dim) of a value and its gradient in tiles. The default is
# four: logits, logits again, and two gradients. A view with itself needs three more. One view of
# 2 * batch rows needs three products of four times the size, or of batch / 4 classes.
# `Matryoshka` has the first half and the first quarter of the dimensions in addition.
PRODUCTS = {name: 12 for name, loss in OURS.items() if loss.single}
PRODUCTS |= {"NTXent": 10, "DecoupledContrastive": 10, "Matryoshka": 7}
PRODUCTS |= {"ArcFace": 2, "CosFace": 2, "NormalizedSoftmax": 2}


@dataclasses.dataclass
class Candidate:
    """One loss of one library.

    Args:
        loss: Name of the loss of this library to compare with.
        who: "ours", "plain", or the name of the library.
        make: Function of the batch size. Returns a function of the inputs.
        stores: Function of batch and dim. Returns an estimate of the float32 values stored at once.
        single: Whether the input is one tensor.
        backend: Backend of the library.
        note: Remark for the table.
    """

    loss: str
    who: str
    make: Callable
    stores: Callable = lambda batch, dim: 0
    single: bool = False
    backend: str = "torch"
    note: str = ""


def candidates(losses, with_peers, dim):
    """Returns our loss, the plain formula and the peers of each loss. Prints the missing peers."""
    found = []
    for loss in losses:
        make, single = OURS[loss]
        matrices = 24 if loss in PRODUCTS else 10
        ours = lambda batch, make=make: make(batch, dim)  # noqa: E731
        found.append(Candidate(loss, "ours", ours, single=single))
        if loss in PLAIN:
            stores = lambda batch, dim, matrices=matrices: matrices * batch**2  # noqa: E731
            found.append(
                Candidate(loss, "plain", lambda batch, loss=loss: PLAIN[loss], stores, single)
            )
    for peer in PEERS if with_peers else []:
        if peer.loss in losses and peer.backend == keras.backend.backend():
            try:
                peer.make(8)
                found.append(peer)
            except Exception as error:  # an installed package may fail to import
                print(
                    f"{peer.who}: skipped, {type(error).__name__}: {str(error).splitlines()[0]}",
                    flush=True,
                )
    return found


# Plain formulas, as a user would write them.


def _logits(a, b):
    a, b = (ops.cast(ops.normalize(ops.cast(x, "float32"), axis=1), x.dtype) for x in (a, b))
    return ops.cast(ops.matmul(a, ops.transpose(b)), "float32") / TEMPERATURE


def _equal(ids):
    return ops.expand_dims(ids, 0) == ops.expand_dims(ids, 1)


def _diagonal_of(x):
    """Returns where the diagonal of a square matrix is. Its size may be unknown, on TensorFlow."""
    return _equal(ops.arange(ops.shape(x)[0], dtype="int32"))


def _off_diagonal(logits):
    return ops.where(_diagonal_of(logits), -1e30, logits)


def _num_negatives(logits):
    return ops.sum(ops.ones_like(logits[0])) - 1


def _info_nce(a, b):
    logits = _logits(a, b)
    both = ops.logsumexp(logits, axis=1) + ops.logsumexp(logits, axis=0)
    return ops.mean(both / 2 - ops.diagonal(logits))


def _global(a, b):
    logits = _logits(a, b)
    negatives = _off_diagonal(logits)
    both = ops.logsumexp(negatives, axis=1) + ops.logsumexp(negatives, axis=0)
    return ops.mean(both / 2 - ops.diagonal(logits)) - ops.log(_num_negatives(logits))


def _gamma(a, b):
    # The value is that of the batch. The gradient is that of the bias-corrected partition.
    logits = _logits(a, b)
    negatives, count = _off_diagonal(logits), _num_negatives(logits)
    value = corrected = -ops.diagonal(logits)
    for axis in (0, 1):
        partition = ops.logsumexp(negatives, axis=axis, keepdims=True)
        one_left_out = partition + ops.log1p(-ops.exp(negatives - partition))
        partition = ops.squeeze(partition, axis)
        # The diagonal is not a negative.
        sum_left_out = ops.sum(one_left_out, axis=axis) - partition
        value = value + partition / 2
        corrected = corrected + (count * partition - (count - 1) / count * sum_left_out) / 2
    return ops.mean(ops.stop_gradient(value - corrected) + corrected)


def _all_views(a, b, decoupled):
    z = ops.concatenate([a, b])
    logits = _off_diagonal(_logits(z, z))
    count = ops.shape(a)[0]
    pairs = ops.diagonal(logits[:count, count:])
    if decoupled:
        logits = ops.where(_equal(items_of(z)), -1e30, logits)
    return ops.mean(ops.logsumexp(logits, axis=1) - ops.concatenate([pairs, pairs]))


def _sup_con(z):
    logits = _off_diagonal(_logits(z, z))
    same = ops.where(_diagonal_of(logits), 0.0, ops.cast(_equal(classes_of(z)), "float32"))
    log_shares = logits - ops.logsumexp(logits, axis=1, keepdims=True)
    return -ops.mean(ops.sum(same * log_shares, axis=1) / ops.sum(same, axis=1))


def _sigmoid(a, b):
    logits = _logits(a, b) + BIAS
    signs = ops.where(_diagonal_of(logits), 1.0, -1.0)
    return -ops.mean(ops.sum(ops.log_sigmoid(signs * logits), axis=1))


PLAIN = {
    "InfoNCE": _info_nce,
    "NTXent": lambda a, b: _all_views(a, b, decoupled=False),
    "DecoupledContrastive": lambda a, b: _all_views(a, b, decoupled=True),
    "SupCon": _sup_con,
    "SigmoidContrastive": _sigmoid,
    "GammaContrastive": _gamma,
    "GlobalContrastive": _global,
}

# Other libraries.


def _metric_learning(name, labels):
    def make(batch):
        from pytorch_metric_learning import losses

        loss = getattr(losses, name)(temperature=TEMPERATURE)
        return lambda z: loss(z, labels(z).long())

    return make


def _lightly(name):
    def make(batch):
        from lightly import loss

        return getattr(loss, name)(temperature=TEMPERATURE)

    return make


def _open_clip(name, *arguments):
    def make(batch):
        # The package imports all models. Its losses are in one file that needs only PyTorch.
        package = importlib.util.find_spec("open_clip")
        if package is None:
            raise ModuleNotFoundError("No module named 'open_clip'")
        path = f"{package.submodule_search_locations[0]}/loss.py"
        spec = importlib.util.spec_from_file_location("open_clip_loss", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loss = getattr(module, name)()
        return lambda a, b: loss(ops.normalize(a, axis=1), ops.normalize(b, axis=1), *arguments)

    return make


def _sentence_transformers(batch):
    import torch
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    how = {
        "directions": ("query_to_doc", "doc_to_query"),
        "partition_mode": "per_direction",
        "mini_batch_size": 512,
    }
    # The encoder is a placeholder: the embeddings go directly to the stage after it.
    loss = CachedMultipleNegativesRankingLoss(
        torch.nn.Sequential(torch.nn.Identity()), 1 / TEMPERATURE, **how
    )
    return lambda a, b: loss.calculate_loss([[a], [b]], with_backward=a.requires_grad)


def _optax(batch):
    import optax

    return lambda z: optax.losses.ntxent(z, items_of(z), TEMPERATURE)


def _matrices(count):
    return lambda batch, dim: count * batch**2


PML = "pytorch-metric-learning"
CACHED = "computes its own backward pass, 512 anchors at a time"
PEERS = [
    Candidate("InfoNCE", "open_clip", _open_clip("ClipLoss", 1 / TEMPERATURE), _matrices(6)),
    Candidate("InfoNCE", "sentence-transformers cached", _sentence_transformers, note=CACHED),
    Candidate(
        "NTXent",
        PML,
        _metric_learning("NTXentLoss", items_of),
        lambda batch, dim: 48 * batch**3,
        True,
    ),
    Candidate("NTXent", "lightly", _lightly("NTXentLoss"), _matrices(32)),
    Candidate("NTXent", "optax", _optax, lambda batch, dim: 12 * batch**2 * dim, True, "jax"),
    Candidate("SupCon", PML, _metric_learning("SupConLoss", classes_of), _matrices(32), True),
    Candidate("DecoupledContrastive", "lightly", _lightly("DCLLoss"), _matrices(24)),
    Candidate(
        "SigmoidContrastive",
        "open_clip",
        _open_clip("SigLipLoss", 1 / TEMPERATURE, BIAS),
        _matrices(8),
    ),
]


class FunctionLoss(kc.losses.ContrastiveLoss):
    """Wraps a function of two views as a loss of the trainer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def of_batch(self, batch, *args, **kwargs):
        return self.function(*batch.views.values())


class PlainModel(keras.Model):
    """Towers by modality and the plain formula of InfoNCE, without this library."""

    def __init__(self, towers):
        super().__init__()
        self.towers = towers

    def call(self, x, training=None):
        return [tower(x[name], training=training) for name, tower in self.towers.items()]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return PLAIN["InfoNCE"](*(ops.cast(z, "float32") for z in y_pred))
