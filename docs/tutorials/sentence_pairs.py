# %% [markdown]
# # Sentence pairs with hard negatives
#
# A search answers questions with sentences. Negatives of a random batch are often easy: they are
# about something else. Hard negatives are almost right answers. This tutorial passes them to the
# trainer, and mines them. Here, a request must find the order with the same words.

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
# right.

# %%
numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
sizes, colors = ["small", "large", "huge"], ["red", "green", "yellow", "brown", "white"]
fruits = ["apple", "pear", "plum", "melon", "lemon", "fig", "cherry", "mango", "kiwi", "grape"]
items = np.array(list(itertools.product(numbers, sizes, colors, fruits)))
items = items[rng.permutation(len(items))]


def query(number, size, color, fruit):
    return f"please send me {number} {size} {color} {fruit}"


def answer(number, size, color, fruit):
    return f"{fruit} {color} {size} {number}"


def almost(item):
    """The answer with another number."""
    other = rng.choice([number for number in numbers if number != item[0]])
    return answer(other, *item[1:])


queries = np.array([query(*item) for item in items])
answers = np.array([answer(*item) for item in items])
wrong = np.array([almost(item) for item in items])
print(queries[0], "->", answers[0], "| wrong:", wrong[0])

# %% [markdown]
# Words become integers. A tokenizer does the same for real text.

# %%
vocabulary = sorted({word for text in [*queries, *answers] for word in text.split()})
number_of = {word: number for number, word in enumerate(vocabulary, start=1)}


def tokens(texts, length=8):
    rows = [[number_of[word] for word in text.split()] for text in texts]
    return np.array([row + [0] * (length - len(row)) for row in rows])


known, new = slice(0, 150), slice(800, None)
x = {"query": tokens(queries[known]), "answer": tokens(answers[known])}
new_x = {"query": tokens(queries[new]), "answer": tokens(answers[new])}

# %% [markdown]
# ## Train without and with hard negatives
#
# Both names share one tower. `hard_negatives` names an extra input, and the modality whose encoder
# embeds it. All queries of a batch see all its hard negatives. `symmetric=False` compares queries
# with answers only, as a search does.

# %%
layers = keras.layers


def new_model(**options):
    keras.utils.set_random_seed(0)
    tower = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            layers.Embedding(len(vocabulary) + 1, 32),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(64),
        ]
    )
    model = kc.ContrastiveTrainer({"query": tower, "answer": tower}, **options)
    model.compile("adam", loss=kc.losses.InfoNCE(temperature=0.1, symmetric=False))
    return model


evaluation = kc.evaluation.RetrievalEvaluation(new_x, k=[1], metrics=("hit_rate_at_k",))
name = "val_query_to_answer_hit_rate_at_1"
curves = {}

plain = new_model()
log = plain.fit(x, batch_size=25, epochs=20, callbacks=[evaluation], verbose=0).history
curves["recall_random_negatives"] = log[name]

model = new_model(hard_negatives={"wrong": "answer"})
x_hard = {**x, "wrong": tokens(wrong[known])}
log = model.fit(x_hard, batch_size=25, epochs=20, callbacks=[evaluation], verbose=0).history
curves["recall_hard_negatives"] = log[name]
for kind, values in curves.items():
    print(f"{kind:<24} R@1 after every fifth epoch", *[f"{value:.2f}" for value in values[4::5]])

# %% [markdown]
# These sentences are so regular that both reach 1.00, and hard negatives make no clear difference.
# Measure both on your data.
#
# If you have no almost right answers, find them: `mine_hard_negatives` searches the answers with a
# model, here the first one, and leaves out the right one. Look at them before you use them. Some
# may be right answers without the right id.

# %%
vectors = {side: plain.embedder(side).predict(x[side], verbose=0) for side in x}
ids = np.arange(150)
mined = kc.evaluation.mine_hard_negatives(
    vectors["query"], vectors["answer"], ids, ids, num_negatives=2
)
for row in range(2):
    print(queries[row], "->", *[f"wrong: {answers[found]};" for found in mined[row]])

# %% [markdown]
# [Hard negatives](../search.md#hard-negatives) has margins, more negatives of each query, and ids.
#
# ## Look at the curves

# %% alt="R@1 on new pairs over the epochs, with random negatives only and with hard ones."
kc.viz.training(curves, title="R@1 on 400 new pairs")
