"""What the parts of the fusion model refuse."""


def check_sizes(**sizes):
    """Refuse what is neither a positive integer nor `None`."""
    for name, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={size!r}.")
