"""Fine-tunes a pre-trained fusion model on three tasks, with and without structures (CVPR 2023).

The tasks are questions about a drawing, statements about two pictures, and sentences that a picture
entails, contradicts or leaves open. They are composed from emoji art and Unicode facts, and are not
VQA, NLVR2 or SNLI-VE. Each model is pre-trained by `fusion_pretrain.py` on training families of one
artist. Then a copy is fine-tuned on each task. If a picture has several drawings, the image tower
is frozen, and its output for each drawing is computed once. Statements come after text assignment.

    python examples/fusion_tasks.py --backend jax   # 4 structures, 3 seeds: 20 minutes on two cores
    python examples/fusion_tasks.py --structures base --controls "picture alone" "in words"
    python examples/fusion_tasks.py --quick

The controls use the base model: questions without the text or without the picture, answers written
by a decoder, pictures read in turn (ALBEF), statements without text assignment, and all tasks
without pre-training.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os
import pathlib

import emoji_tasks

STRUCTURES = ("base", "separation", "bridge", "consistency")
CONTROLS = (
    "text alone",
    "picture alone",
    "in words",
    "in turn",
    "no assignment",
    "no pre-training",
)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Pre-train small fusion models on emoji, and fine-tune them on three tasks.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, or the default of Keras",
    )
    parser.add_argument("--structures", choices=STRUCTURES, nargs="+", default=list(STRUCTURES))
    parser.add_argument(
        "--controls", choices=CONTROLS, nargs="*", default=[], help="controls of the base model"
    )
    parser.add_argument("--weight", type=float, default=0.1, help="weight of the structures")
    parser.add_argument("--steps", type=int, default=400, help="steps of pre-training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use one seed and a few examples and steps",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the picture"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import collections  # noqa: E402
import textwrap  # noqa: E402
import time  # noqa: E402

import fusion_pretrain as pre  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402

TESTS = emoji_tasks.TASK_SPLITS[2:]
BATCH = 128
EPOCHS = {"questions": 15, "comparisons": 4, "entailment": 4, "assignments": 2}
FEW = {
    "questions": {"most": 4},
    "comparisons": {"groups": 100, "test_groups": 40},
    "entailment": {"groups": 30, "test_groups": 10},
    "assignments": {"groups": 30, "test_groups": 5},
}


class Models:
    """Reuses compiled models with new weights, so that each step is compiled only once."""

    def __init__(self):
        self.compiled = {}

    def new(self, key, model, sample, *compile_arguments):
        """Returns the compiled model of this key, with the weights of `model`."""
        model(sample)
        if key not in self.compiled:
            model.compile(*compile_arguments)
            self.compiled[key] = model
            return model
        compiled = self.compiled[key]
        compiled.set_weights(model.get_weights())
        for variable in compiled.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        return compiled


def is_one_drawing(task):
    """Returns whether a picture has one drawing. The image tower is then fine-tuned too."""
    return task.cells.shape[1:] == (1, 1)


class Tasks:
    """Fine-tunes copies of a pre-trained model."""

    def __init__(self, tasks, words, quick):
        self.tasks, self.words, self.models, self.quick = tasks, words, Models(), quick
        self.training, self.texts = {}, {}
        for name, task in tasks.items():
            rows = np.flatnonzero(task.split == "train")
            # Whole batches only: all steps have the same shape and are compiled once.
            self.training[name] = rows[: len(rows) // BATCH * BATCH]
            self.texts[name] = words(task.texts.tolist(), words.longest(task.texts) + 1)
        answers = tasks["questions"].answers
        self.answers = words(answers, words.longest(answers) + 2, end=True)

    def features(self, trainer):
        """Returns the features of the drawings of each task. The last row is an empty place.

        They are the pixels if the image tower is fine-tuned, else the outputs of the tower.
        """
        features = {}
        for name, task in self.tasks.items():
            drawings = np.concatenate([task.drawings, np.full_like(task.drawings[:1], 255)]).astype(
                "float32"
            )
            tower = trainer.encoders["image"]
            features[name] = (
                drawings if is_one_drawing(task) else tower.predict(drawings, 256, verbose=0)[:, 0]
            )
        return features

    def classifier(self, name, model, features, in_turn=False, blind=None):
        """Returns a `FusionClassifier` that was fine-tuned on a task."""
        task = self.tasks[name]
        pictures = task.cells.shape[1]
        parts = {"hidden_dim": 128, "dropout": 0.1}
        if not is_one_drawing(task):
            parts["encoders"] = {"image": keras.layers.Identity()}
        if in_turn:
            parts["fusion"] = model.fusion.for_images(pictures)
        elif pictures > 1:
            parts["num_images"] = pictures
        fresh = kc.fusion.FusionClassifier.from_pretrained(model, len(task.answers), **parts)
        return self._fit(name, f"{name}{' in turn' * in_turn}", fresh, features, blind=blind)

    def generator(self, model, features):
        """Returns an `AnswerGenerator` that was fine-tuned on the questions."""
        decoder = kc.fusion.AnswerDecoder(
            self.words.size,
            self.answers.shape[1],
            pre.START,
            pre.END,
            pre.DIM,
            2,
            pre.HEADS,
            2 * pre.DIM,
        )
        fresh = kc.fusion.AnswerGenerator.from_pretrained(model, decoder)
        return self._fit("questions", "in words", fresh, features)

    def _fit(self, name, key, fresh, features, blind=None):
        rows = self.training[name]
        x, labels = self.inputs(name, rows, features, blind), self.tasks[name].labels[rows]
        if isinstance(fresh, kc.fusion.AnswerGenerator):
            x, labels = {**x, "answer": self.answers[labels]}, None
        epochs = 1 if self.quick else EPOCHS[name]
        optimizer = pre.optimizer(1e-3, epochs * len(rows) // BATCH)
        model = self.models.new(
            key, fresh, {part: array[:2] for part, array in x.items()}, optimizer
        )
        model.fit(x, labels, batch_size=BATCH, epochs=epochs, verbose=0)
        return model

    def inputs(self, name, rows, features, blind=None):
        """Returns the inputs of a model: features of the drawings in each place, and the text."""
        task = self.tasks[name]
        image = features[task.cells[rows]]  # (rows, pictures, places, ...)
        for _ in range(2 if is_one_drawing(task) else image.shape[1] == 1):
            image = image[:, 0]
        x = {"image": image, "text": self.texts[name][rows]}
        if blind == "text alone":
            x["image"] = np.zeros_like(x["image"])
        if blind == "picture alone":
            x["text"] = np.where(np.arange(x["text"].shape[1]) == 0, x["text"], pre.PADDING)
        return x

    def accuracies(self, name, model, features, blind=None):
        """Returns the accuracy in each test split."""
        task = self.tasks[name]
        rows = np.flatnonzero(np.isin(task.split, TESTS))
        output = model.predict(self.inputs(name, rows, features, blind), batch_size=256, verbose=0)
        if isinstance(model, kc.fusion.AnswerGenerator):
            right = (output == self.answers[task.labels[rows]]).all(axis=1)
        else:
            right = output.argmax(axis=1) == task.labels[rows]
        return {split: right[task.split[rows] == split].mean() for split in TESTS}


def run(structure, seed, tasks, data, words, table, out):
    """Pre-trains, fine-tunes on each task, and adds the accuracies to the table."""
    started = time.perf_counter()
    keras.utils.set_random_seed(seed)
    steps = 10 if arguments.quick else arguments.steps
    sample = {
        "image": data.images[:2, 0].astype("float32"),
        "text": words(["a bird", "a tool"], pre.CAPTION),
    }
    fresh = pre.fusion_trainer(words, structure, arguments.weight)
    trainer = tasks.models.new(
        f"{structure} trainer", fresh, sample, pre.optimizer(2e-3, steps), kc.losses.InfoNCE(0.2)
    )
    controls = arguments.controls if structure == "base" else ()

    def note(row, name, model, blind=None):
        accuracies = tasks.accuracies(name, model, features[name], blind)
        for split, accuracy in accuracies.items():
            table[row][name, split].append(accuracy)
        summary = ", ".join(f"{split} {accuracy:.3f}" for split, accuracy in accuracies.items())
        print(
            f"seed {seed}, {row}, {name}: {summary} ({time.perf_counter() - started:.0f} s)",
            flush=True,
        )
        return model

    def statements(row, **kwargs):
        """Fine-tunes on statements, after text assignment unless the run is quick."""
        model = trainer
        if not arguments.quick:
            model = tasks.classifier("assignments", trainer, features["assignments"], **kwargs)
        return note(
            row,
            "comparisons",
            tasks.classifier("comparisons", model, features["comparisons"], **kwargs),
        )

    if "no pre-training" in controls:
        features = tasks.features(trainer)
        for name in ("questions", "entailment"):
            note("no pre-training", name, tasks.classifier(name, trainer, features[name]))
        statements("no pre-training")
    pre.pretrain(trainer, data, words, steps, seed)
    features = tasks.features(trainer)
    models = {
        "questions": note(
            structure, "questions", tasks.classifier("questions", trainer, features["questions"])
        ),
        "entailment": note(
            structure, "entailment", tasks.classifier("entailment", trainer, features["entailment"])
        ),
        "comparisons": statements(structure),
    }
    if structure == "base" and seed == 0:
        draw_answers(tasks, models, features, out / "fusion_answers.png")
    for blind in ("text alone", "picture alone"):
        if blind in controls:
            note(
                blind,
                "questions",
                tasks.classifier("questions", trainer, features["questions"], blind=blind),
                blind,
            )
    if "in words" in controls:
        note("in words", "questions", tasks.generator(trainer, features["questions"]))
    if "in turn" in controls:
        statements("in turn", in_turn=True)
    if "no assignment" in controls:
        note(
            "no assignment",
            "comparisons",
            tasks.classifier("comparisons", trainer, features["comparisons"]),
        )


def draw_answers(tasks, models, features, path, split="test_family", columns=6):
    """Draws examples of unseen families with the answer of each model. Green is right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    heights = [1.9 if tasks.tasks[name].cells.shape[1] > 1 else 2.9 for name in models]
    figure, axes = plt.subplots(
        len(models),
        columns,
        figsize=(2.1 * columns, sum(heights)),
        gridspec_kw={"height_ratios": heights},
    )
    for (name, model), row_axes in zip(models.items(), axes, strict=True):
        task = tasks.tasks[name]
        rows = np.random.default_rng(1).choice(
            np.flatnonzero(task.split == split), columns, replace=False
        )
        inputs = tasks.inputs(name, rows, features[name])
        predicted = model.predict(inputs, verbose=0).argmax(axis=1)
        images = task.images(rows)
        for axis, row, answer, picture in zip(row_axes, rows, predicted, images, strict=True):
            if picture.ndim == 4:  # two pictures: draw a line between them
                line = np.full((picture.shape[1], 2, 3), 160, "uint8")
                picture = np.concatenate([picture[0], line, picture[1]], axis=1)
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("0.8")
            axis.set_title(textwrap.fill(str(task.texts[row]), 26), fontsize=9)
            right, truth = answer == task.labels[row], task.answers[task.labels[row]]
            label = truth if right else f"{task.answers[answer]}\n(it is {truth})"
            axis.set_xlabel(label, fontsize=9, color="green" if right else "firebrick")
        row_axes[0].set_ylabel(name, fontsize=9, color="0.4")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.text(0.01, 0.004, kc.datasets.ATTRIBUTION, fontsize=6, color="0.5")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"wrote {path}", flush=True)


def print_table(table):
    """Prints the mean accuracy over the seeds and its standard error."""
    names = ("questions", "comparisons", "entailment")
    print("\n| | " + " | ".join(f"{name}, {split}" for name in names for split in TESTS) + " |")
    print("| --- |" + " --- |" * (len(names) * len(TESTS)))
    for row, accuracies in table.items():
        cells = []
        for key in ((name, split) for name in names for split in TESTS):
            values = accuracies.get(key, [])
            error = (
                f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
            )
            cells.append(f"{np.mean(values):.3f}{error}" if values else "")
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


def main():
    data = kc.datasets.load_emoji(pre.CELL, skin_tones=True)
    loaded = {
        name: load(**(FEW[name] if arguments.quick else {})) for name, load in pre.TASKS.items()
    }
    words = pre.vocabulary(data, loaded)
    tasks = Tasks(loaded, words, arguments.quick)
    table = collections.defaultdict(lambda: collections.defaultdict(list))
    structures = arguments.structures
    if arguments.quick:
        structures = structures[:1]
    for seed in range(1 if arguments.quick else arguments.seeds):
        for structure in structures:
            run(structure, seed, tasks, data, words, table, arguments.out)
        print_table(table)


if __name__ == "__main__":
    main()
