"""The arguments that the tasks have in common, and the drawings that they ask for."""

from keras_contrastive.datasets._emoji import STYLES, load_emoji


def load_for(across, size, style, seed, cache_dir, verbose, **counts):
    """The `Emoji` for grids of so many drawings across, after a look at what the tasks have in common.

    Args:
        across: Positive int.
        size: See the tasks.
        style: See the tasks.
        seed: See the tasks.
        cache_dir: See `load_emoji`.
        verbose: See `load_emoji`.
        **counts: Positive ints by the name of the argument.
    """
    check_size(size, across)
    check_style(style)
    for name, count in counts.items():
        check_count(count, name)
    check_seed(seed)
    return load_emoji(size // across, skin_tones=True, cache_dir=cache_dir, verbose=verbose)


def check_style(style):
    """Refuse what is no drawing style."""
    if style not in STYLES:
        raise ValueError(
            f"`style` must be one of {STYLES}, the one seen in training. Received: style={style!r}."
        )


def check_size(size, across):
    """Refuse a size that a grid of so many drawings across does not divide."""
    if isinstance(size, bool) or not isinstance(size, int) or size < across or size % across:
        such = "" if across == 1 else f" that {across} divides, for {across} by {across} drawings"
        raise ValueError(f"`size` must be a positive integer{such}. Received: size={size!r}.")


def check_count(count, name):
    """Refuse what is no positive integer."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={count!r}.")


def check_seed(seed):
    """Refuse what is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={seed!r}.")


def check_kinds(kinds, there_are):
    """Refuse what is no choice of the kinds that there are."""
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(there_are):
        raise ValueError(
            f"`kinds` must be a tuple of some of {there_are}. Received: kinds={kinds!r}."
        )
