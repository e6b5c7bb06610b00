"""Names of the views that belong to a modality."""

# Suffixes of the augmented view of a modality, and of its independent features.
AUGMENTED, INDEPENDENT = "_augmented", "_independent"


def modality_name(view: str) -> str:
    """Returns the modality of a view, such as `image` for `image_augmented_independent`."""
    return view.removesuffix(INDEPENDENT).removesuffix(AUGMENTED)
