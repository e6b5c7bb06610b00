"""Checks of the arguments that all tasks share."""

from keras_contrastive.datasets import STYLES, load_emoji


def load_for(across, size, style, seed, cache_dir, verbose, **counts):
    """Checks the arguments that all tasks share, and loads the drawings for them.

    Args:
        across: Positive int, number of drawings across a picture.
        size: See the tasks.
        style: See the tasks.
        seed: See the tasks.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.
        **counts: Positive ints by the name of the argument.

    Returns:
        An `Emoji`.
    """
    check_size(size, across)
    check_style(style)
    for name, count in counts.items():
        check_count(count, name)
    check_seed(seed)
    return load_emoji(size // across, skin_tones=True, cache_dir=cache_dir, verbose=verbose)


def check_style(style):
    """Raises a `ValueError` unless `style` is a drawing style."""
    if style not in STYLES:
        raise ValueError(
            f"`style` must be one of {STYLES}, the style in training. Received: style={style!r}."
        )


def check_size(size, across):
    """Raises a `ValueError` unless `size` is divisible by the number of drawings across."""
    if isinstance(size, bool) or not isinstance(size, int) or size < across or size % across:
        divisible = (
            f" divisible by {across}, for {across} by {across} drawings" if across > 1 else ""
        )
        raise ValueError(f"`size` must be a positive integer{divisible}. Received: size={size!r}.")


def check_count(count, name):
    """Raises a `ValueError` unless `count` is a positive integer."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={count!r}.")


def check_seed(seed):
    """Raises a `ValueError` unless `seed` is a non-negative integer."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={seed!r}.")


def check_kinds(kinds, options):
    """Raises a `ValueError` unless `kinds` is a non-empty selection of the options."""
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(options):
        raise ValueError(
            f"`kinds` must be a tuple of some of {options}. Received: kinds={kinds!r}."
        )
