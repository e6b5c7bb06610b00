"""Losses of other libraries beside ours, as functions of the same embeddings in PyTorch.

`CASES` has a function for each row of the first table in `docs/agreement.md`. It returns the value
of the other library and ours, for embeddings `(rows, dim)` of two views and labels of the rows.
"""

import numpy as np

from keras_contrastive import layers, losses
from tests.conformance import peers

ROWS, DIM, CLASSES = 24, 8, 6
CASES = {}


def case(library, theirs, ours):
    """Registers a function under the first three cells of a row."""
    return lambda function: CASES.setdefault((library, theirs, ours), function)


def data(seed=7):
    """Returns two views and labels. Each class has four rows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(ROWS) % CLASSES
    centers = rng.normal(size=(CLASSES, DIM))[labels]
    first, second = (centers + rng.normal(size=(ROWS, DIM)) for _ in range(2))
    return first.astype("float32"), second.astype("float32"), labels


def unit(*views):
    import torch

    return [torch.nn.functional.normalize(view, dim=1) for view in views]


def tensor(labels):
    import torch

    return torch.as_tensor(labels)


def pml(name, **arguments):
    return getattr(peers.module("pytorch_metric_learning.losses"), name)(**arguments)


def sentences(name, **arguments):
    package = peers.module("sentence_transformers.sentence_transformer.losses")
    return getattr(package, name)(**{"model": None, **arguments})


def lightly(module, name, *arguments):
    return getattr(peers.module(f"lightly.loss.{module}"), name)(*arguments)


@case("open_clip", "`ClipLoss`, `logit_scale=1/t`", "`InfoNCE(t)`")
def clip(a, b, labels):
    theirs = peers.module("open_clip.loss").ClipLoss()(*unit(a, b), 1 / 0.07)
    return theirs, losses.InfoNCE(0.07)(None, (a, b))


@case("open_clip", "`SigLipLoss`, `logit_scale=1/t`, `logit_bias=b`", "`SigmoidContrastive(t, b)`")
def siglip(a, b, labels):
    theirs = peers.module("open_clip.loss").SigLipLoss()(*unit(a, b), 1 / 0.1, -10.0)
    return theirs, losses.SigmoidContrastive(0.1, -10.0)(None, (a, b))


@case(
    "sentence-transformers",
    "`MultipleNegativesRankingLoss(scale=1/t)`",
    "`InfoNCE(t, symmetric=False)`",
)
def ranking(a, b, labels):
    loss = sentences("MultipleNegativesRankingLoss", scale=20.0)
    theirs = loss.compute_loss_from_embeddings([a, b], None)
    return theirs, losses.InfoNCE(0.05, symmetric=False)(None, (a, b))


@case(
    "sentence-transformers",
    "`MultipleNegativesRankingLoss` with a third column",
    "`InfoNCE(t, symmetric=False)` with `hard_negatives`",
)
def ranking_with_negatives(a, b, labels):
    wrong = a.flip(0) + b.roll(1, 0)
    loss = sentences("MultipleNegativesRankingLoss", scale=20.0)
    theirs = loss.compute_loss_from_embeddings([a, b, wrong], None)
    ours = losses.InfoNCE(0.05, symmetric=False)
    return theirs, ours(None, (a, b), hard_negatives={1: wrong})


@case(
    "sentence-transformers",
    "`MultipleNegativesRankingLoss` in two directions, `partition_mode='per_direction'`",
    "`InfoNCE(t)`",
)
def symmetric_ranking(a, b, labels):
    directions = "query_to_doc", "doc_to_query"
    loss = sentences(
        "MultipleNegativesRankingLoss", directions=directions, partition_mode="per_direction"
    )
    theirs = loss.compute_loss_from_embeddings([a, b], None)
    return theirs, losses.InfoNCE(0.05)(None, (a, b))


@case(
    "sentence-transformers",
    "`MatryoshkaLoss(loss, dims)`",
    "`Matryoshka(loss, dims)` times n sizes",
)
def matryoshka(a, b, labels):
    import torch

    class Columns(torch.nn.Module):
        def forward(self, features):
            return dict(features)

        def get_embedding_dimension(self):
            return DIM

    model = Columns()
    inner = sentences("MultipleNegativesRankingLoss", model=model)
    loss = sentences("MatryoshkaLoss", model=model, loss=inner, matryoshka_dims=[8, 4, 2])
    theirs = loss([{"sentence_embedding": a}, {"sentence_embedding": b}], None)
    ours = losses.Matryoshka(losses.InfoNCE(0.05, symmetric=False), dims=(8, 4, 2))
    return theirs, 3 * ours(None, (a, b))


def sentence_triplets(name, mining):
    def values(a, b, labels):
        theirs = sentences(name, margin=0.5).compute_loss_from_embeddings(unit(a), tensor(labels))
        return theirs, losses.Triplet(0.5, mining)(labels, a)

    return values


for _name, _mining in (
    ("BatchSemiHardTripletLoss", "semi_hard"),
    ("BatchHardTripletLoss", "hard"),
    ("BatchAllTripletLoss", "all"),
):
    case("sentence-transformers", f"`{_name}(margin=m)`", f"`Triplet(m, '{_mining}')`")(
        sentence_triplets(_name, _mining)
    )


def guided(contrast_anchors, kind):
    def values(a, b, labels):
        import torch

        loss = peers.module("sentence_transformers.sentence_transformer.losses").CachedGISTEmbedLoss
        theirs = loss.__new__(loss)  # without models and tokenizers
        torch.nn.Module.__init__(theirs)
        settings = {
            "temperature": 0.1,
            "margin_strategy": kind,
            "margin": 0.1,
            "contrast_anchors": contrast_anchors,
            "contrast_positives": False,
            "gather_across_devices": False,
            "mini_batch_size": ROWS,
            "show_progress_bar": False,
            "similarity_fct": torch.nn.CosineSimilarity(dim=-1),
            "cross_entropy_loss": torch.nn.CrossEntropyLoss(),
        }
        for name, value in settings.items():
            setattr(theirs, name, value)
        guides = data(seed=8)[:2]
        guides_of_theirs = [[torch.tensor(guide)] for guide in guides]
        value = theirs.calculate_loss([[a], [b]], guides_of_theirs)
        ours = losses.NTXent if contrast_anchors else losses.InfoNCE
        ours = ours(0.1, symmetric=False, ignore_above=(kind, 0.1))
        return value, ours(None, (a, b), guides={0: guides[0], 1: guides[1]})

    return values


for _anchors, _kind, _ours in (
    (False, "absolute", "InfoNCE(t, symmetric=False, ignore_above=('absolute', m))"),
    (True, "relative", "NTXent(t, symmetric=False, ignore_above=('relative', m))"),
):
    case(
        "sentence-transformers",
        f"`CachedGISTEmbedLoss(margin_strategy='{_kind}', margin=m, contrast_anchors={_anchors}, "
        "contrast_positives=False)`",
        f"`{_ours}` with `guides`",
    )(guided(_anchors, _kind))


@case(
    "keras-rs",
    "`SamplingProbabilityCorrection`, then a softmax cross-entropy",
    "`InfoNCE(t, symmetric=False)` with `log_weights=-log(probability)`",
)
def logq_correction(a, b, labels):
    import torch

    probability = torch.linspace(0.01, 1.0, ROWS)
    correction = peers.module("keras_rs.layers").SamplingProbabilityCorrection()
    logits = correction(a @ b.T / 0.5, probability)
    theirs = torch.nn.functional.cross_entropy(logits, torch.arange(ROWS))
    ours = losses.InfoNCE(0.5, symmetric=False, normalize=False)
    return theirs, ours(None, (a, b), log_weights={1: -torch.log(probability)})


@case("pytorch-metric-learning", "`SelfSupervisedLoss(NTXentLoss(t))`", "`NTXent(t)`")
def self_supervised(a, b, labels):
    theirs = pml("SelfSupervisedLoss", loss=pml("NTXentLoss", temperature=0.1))(a, b)
    return theirs, losses.NTXent(0.1)(None, (a, b))


@case("pytorch-metric-learning", "`NTXentLoss(t)` with labels", "`SupCon(t)`")
def labeled_nt_xent(a, b, labels):
    theirs = pml("NTXentLoss", temperature=0.1)(a, tensor(labels))
    return theirs, losses.SupCon(0.1)(labels, a)


@case("pytorch-metric-learning", "`SupConLoss(t)`", "`SupCon(t)`")
def sup_con(a, b, labels):
    theirs = pml("SupConLoss", temperature=0.1)(a, tensor(labels))
    return theirs, losses.SupCon(0.1)(labels, a)


@case(
    "pytorch-metric-learning",
    "`MultiSimilarityLoss(alpha, beta, base)`",
    "`MultiSimilarity(alpha, beta, base)`",
)
def multi_similarity(a, b, labels):
    theirs = pml("MultiSimilarityLoss", alpha=2, beta=50, base=0.5)(a, tensor(labels))
    return theirs, losses.MultiSimilarity(2.0, 50.0, 0.5)(labels, a)


@case("pytorch-metric-learning", "`TripletMarginLoss(m)`", "`Triplet(m, 'all')`")
def all_triplets(a, b, labels):
    theirs = pml("TripletMarginLoss", margin=0.3)(a, tensor(labels))
    return theirs, losses.Triplet(0.3, "all")(labels, a)


@case(
    "pytorch-metric-learning",
    "`TripletMarginLoss(m, reducer=MeanReducer())` with `BatchHardMiner`",
    "`Triplet(m, 'hard')`",
)
def hard_triplets(a, b, labels):
    triplets = peers.module("pytorch_metric_learning.miners").BatchHardMiner()(a, tensor(labels))
    mean = peers.module("pytorch_metric_learning.reducers").MeanReducer()
    theirs = pml("TripletMarginLoss", margin=0.3, reducer=mean)(a, tensor(labels), triplets)
    return theirs, losses.Triplet(0.3, "hard")(labels, a)


@case(
    "pytorch-metric-learning",
    "`TripletMarginLoss(m)` with `TripletMarginMiner(m, type_of_triplets='semihard')`",
    "`Triplet(m, 'semi_hard')`",
)
def semi_hard_triplets(a, b, labels):
    miner = peers.module("pytorch_metric_learning.miners").TripletMarginMiner(
        margin=0.3, type_of_triplets="semihard"
    )
    theirs = pml("TripletMarginLoss", margin=0.3)(a, tensor(labels), miner(a, tensor(labels)))
    return theirs, losses.Triplet(0.3, "semi_hard")(labels, a)


@case("pytorch-metric-learning", "`CircleLoss(m, gamma)`", "`Circle(gamma, m)`")
def circle(a, b, labels):
    theirs = pml("CircleLoss", m=0.25, gamma=20)(a, tensor(labels))
    return theirs, losses.Circle(20.0, 0.25)(labels, a)


def class_vectors(theirs, make, **arguments):
    def values(a, b, labels):
        peer = pml(theirs, num_classes=CLASSES, embedding_size=DIM, **arguments)
        vectors = (peer.proxies if hasattr(peer, "proxies") else peer.W).detach().numpy()
        proxies = layers.ClassProxies(CLASSES, DIM)
        loss = make(proxies)
        loss.build()
        proxies.set_weights([vectors if vectors.shape == (CLASSES, DIM) else vectors.T])
        return peer(a, tensor(labels)), loss(labels, a, training=True)

    return values


for _theirs, _ours, _function in (
    (
        "`ArcFaceLoss(n, dim, margin=degrees, scale=1/t)`",
        "`ArcFace(ClassProxies(n, dim), radians, t)`",
        class_vectors("ArcFaceLoss", lambda p: losses.ArcFace(p, np.radians(28.6), 1 / 64)),
    ),
    (
        "`CosFaceLoss(n, dim, margin=m, scale=1/t)`",
        "`CosFace(ClassProxies(n, dim), m, t)`",
        class_vectors("CosFaceLoss", lambda p: losses.CosFace(p, 0.35, 1 / 64)),
    ),
    (
        "`NormalizedSoftmaxLoss(n, dim, temperature=t)`",
        "`NormalizedSoftmax(ClassProxies(n, dim), t)`",
        class_vectors("NormalizedSoftmaxLoss", lambda p: losses.NormalizedSoftmax(p, 0.05)),
    ),
    (
        "`ProxyNCALoss(n, dim, softmax_scale=s)`",
        "`NormalizedSoftmax(ClassProxies(n, dim), 1 / (2 * s))`",
        class_vectors(
            "ProxyNCALoss", lambda p: losses.NormalizedSoftmax(p, 1 / 6), softmax_scale=3
        ),
    ),
):
    case("pytorch-metric-learning", _theirs, _ours)(_function)


@case("lightly", "`NTXentLoss(t)`", "`NTXent(t)`")
def nt_xent(a, b, labels):
    theirs = lightly("ntx_ent_loss", "NTXentLoss", 0.5)(a, b)
    return theirs, losses.NTXent(0.5)(None, (a, b))


@case("lightly", "`DCLLoss(t)`", "`DecoupledContrastive(t)`")
def decoupled(a, b, labels):
    theirs = lightly("dcl_loss", "DCLLoss", 0.1)(a, b)
    return theirs, losses.DecoupledContrastive(0.1)(None, (a, b))


@case("lightly", "`DCLWLoss(t, sigma)`", "`DecoupledContrastive(t, weight_sigma=sigma)`")
def decoupled_and_weighted(a, b, labels):
    theirs = lightly("dcl_loss", "DCLWLoss", 0.1, 0.5)(a, b)
    return theirs, losses.DecoupledContrastive(0.1, weight_sigma=0.5)(None, (a, b))


@case("lightly", "`BarlowTwinsLoss(lambda_param)`", "`BarlowTwins(redundancy_weight)`")
def barlow_twins(a, b, labels):
    theirs = lightly("barlow_twins_loss", "BarlowTwinsLoss", 0.1)(a, b)
    return theirs, losses.BarlowTwins(0.1)(None, (a, b))


@case("lightly", "`VICRegLoss(25, 25, 1)`", "`VICReg(25, 25, 1)`")
def vicreg(a, b, labels):
    a, b = a / 4, b / 4  # deviations below and above 1
    return lightly("vicreg_loss", "VICRegLoss")(a, b), losses.VICReg()(None, (a, b))


@case("lightly", "`NegativeCosineSimilarity()`", "`NegativeCosine()`")
def negative_cosine(a, b, labels):
    theirs = lightly("negative_cosine_similarity", "NegativeCosineSimilarity")(a, b)
    return theirs, losses.NegativeCosine()(None, (a, b))


@case(
    "LibAUC",
    "`GCLoss('bimodal', N, tau, gamma)` at the third visit, times a constant",
    "`GlobalContrastive(N, tau, momentum=1 - gamma)`",
)
def global_contrastive(a, b, labels, momentum=0.1, gamma=0.9, tau=0.2):
    their_loss = peers.module("libauc.losses.contrastive").GCLoss(
        "bimodal", N=ROWS, tau=tau, gamma=gamma
    )
    our_loss = losses.GlobalContrastive(ROWS, tau, momentum=momentum, max_weight=float("inf"))
    our_loss.build()
    ids = np.arange(ROWS)
    for views in (*(data(seed)[:2] for seed in (1, 2)), (a, b)):
        first, second = (tensor(view) for view in views)
        # Its value is not divided by the temperature, and its mean is a sum over the negatives.
        theirs = their_loss(*unit(first, second), tensor(ids))[0] / (tau * (ROWS - 1))
        ours = our_loss(ids, (first, second), training=True)
    return theirs, ours
