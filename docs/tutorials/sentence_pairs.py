# %% [markdown]
# # Sentence pairs with hard negatives
#
# A search answers queries with sentences. Negatives of a random batch are often easy: they contain
# other words. Hard negatives are almost right answers. This tutorial passes them to the trainer,
# measures what they add, and mines more. Here, a request must find the order with the same numbers,
# and the wrong order has the numbers exchanged.

# %%
import itertools

import keras
import numpy as np

import keras_contrastive as kc

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Pairs
#
# Replace this cell by your queries and their answers. Each pair also has an answer that is almost
# right. Such answers come from a search that exists, or from mining, as [below](#mine-more).

# %%
numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
fruits = ["apple", "pear", "plum", "melon", "lemon", "fig", "cherry", "mango", "kiwi", "grape"]
orders = itertools.product(itertools.combinations(numbers, 2), itertools.combinations(fruits, 2))
orders = [(number[:: rng.choice([1, -1])], fruit) for number, fruit in orders]
orders = [orders[row] for row in rng.permutation(len(orders))]


def query(number, fruit):
    return f"please send me {number[0]} {fruit[0]} and {number[1]} {fruit[1]}"


def answer(number, fruit):
    """An order lists both fruits in any sequence."""
    lines = [f"{fruit[place]} {number[place]}" for place in rng.permutation(2)]
    return "order " + " plus ".join(lines)


queries = [query(*order) for order in orders]
answers = [answer(*order) for order in orders]
wrong = [answer(number[::-1], fruit) for number, fruit in orders]
for row in range(3):
    print(f"{queries[row]} -> {answers[row]} | wrong: {wrong[row]}")

# %% [markdown]
# Words become integers. A tokenizer does the same for real text.

# %%
vocabulary = sorted({word for text in [*queries, *answers] for word in text.split()})
number_of = {word: number for number, word in enumerate(vocabulary, start=1)}


def tokens(texts, length=8):
    rows = [[number_of[word] for word in text.split()] for text in texts]
    return np.array([row + [0] * (length - len(row)) for row in rows], "int32")


known, new = slice(0, 960), slice(960, 1260)
x = {"query": tokens(queries[known]), "answer": tokens(answers[known])}
new_x = {"query": tokens(queries[new]), "answer": tokens(answers[new])}
print(len(orders), "orders,", len(x["query"]), "to train")

# %% [markdown]
# ## Train without and with hard negatives
#
# `hard_negatives` names an extra input, and the modality whose encoder embeds it. All queries of a
# batch see all its hard negatives. `symmetric=False` compares queries with answers only, as a
# search does. Both names share one tower.
#
# The test searches 300 right answers and 300 wrong ones together.

# %%
layers = keras.layers


def tower():
    return keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            layers.Embedding(len(vocabulary) + 1, 32),
            layers.Conv1D(256, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(64),
        ]
    )


evaluation = kc.evaluation.RetrievalEvaluation(
    new_x,
    ids=np.arange(300),
    corpus={"answer": tokens(wrong[new])},
    corpus_ids={"answer": 300 + np.arange(300)},  # the answers to no query
    k=[1],
    metrics=("hit_rate_at_k",),
)
name = "val_query_to_answer_hit_rate_at_1"
loss = kc.losses.InfoNCE(temperature=0.1, symmetric=False)
ids = np.arange(960)
rows = rng.permutation(960)  # the control has as many candidates, all of them random
extra = {
    "random": {"wrong": x["answer"][rows], "wrong_id": ids[rows]},
    "hard": {"wrong": tokens(wrong[known]), "wrong_id": 960 + ids},
}
curves, models = {}, {}
for kind, negatives in extra.items():
    keras.utils.set_random_seed(0)
    encoder = tower()
    model = kc.ContrastiveTrainer(
        {"query": encoder, "answer": encoder},
        hard_negatives={"wrong": "answer"},
        hard_negative_ids={"wrong_id": "wrong"},
    )
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    settings = {"batch_size": 96, "epochs": 20, "callbacks": [evaluation], "verbose": 0}
    log = model.fit({**x, **negatives}, ids, **settings).history
    models[kind], curves[f"recall_{kind}_negatives"] = model, log[name]
for kind, values in curves.items():
    print(f"{kind:<24} R@1 after every fifth epoch", *[f"{value:.2f}" for value in values[4::5]])

# %% [markdown]
# Hard negatives save epochs here: the curves below show how many. Measure both on your data.
#
# With `hard_negative_ids`, a query leaves out the hard negatives with its own id. The random ones
# of the control need it, since some are right answers.
#
# ## Mine more
#
# If you have no almost right answers, find them: `mine_hard_negatives` searches the answers with a
# model, here the first one, and leaves out the right one. Look at them before you use them. Some
# may be right answers without the right id.

# %%
vectors = {side: models["random"].embedder(side).predict(x[side], verbose=0) for side in x}
mined = kc.evaluation.mine_hard_negatives(
    vectors["query"], vectors["answer"], ids, ids, num_negatives=2
)
for row in range(3):
    print(queries[row], "->", *[f"wrong: {answers[found]};" for found in mined[row]])

# %% [markdown]
# [Hard negatives](../search.md#hard-negatives) has margins, more negatives of each query, and ids.
#
# ## Look at the curves

# %% alt="R@1 on new pairs over the epochs, with random negatives only and with hard ones."
kc.viz.training(curves, title="With hard negatives, R@1 on new pairs rises faster")
