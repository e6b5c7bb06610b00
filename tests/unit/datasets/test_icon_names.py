"""Names of icons: things, styles, logos and families."""

import pytest

from keras_contrastive.datasets._icon_names import family_of, is_thing, logos, plain_names


@pytest.mark.parametrize(
    ("file_name", "text", "filled", "size"),
    [
        ("home", "home", None, 24),
        ("home-outline", "home", False, 24),
        ("home_fill", "home", True, 24),
        ("Arrow Left-Circle", "arrow left circle", None, 24),
        ("home-20-solid", "home", True, 20),
        ("home-two-tone", "home", None, 24),
        ("user-02", "user", None, 24),
        ("filter-list-off", "filter list off", None, 24),
        ("outline", "outline", None, 24),
        ("24", "24", None, 24),
    ],
)
def test_words_of_style_at_the_end_are_removed(file_name, text, filled, size):
    assert plain_names([file_name]) == [(text, filled, size)]


def test_an_ambiguous_word_is_a_style_in_sets_that_use_it_often():
    thing = ["traffic-light", *(f"thing{i}-fill" for i in range(99))]
    style = [*(f"thing{i}-light" for i in range(10)), "traffic-light"]
    assert plain_names(thing)[0].text == "traffic light"
    assert plain_names(style)[-1].text == "traffic"


def test_the_name_of_the_set_is_removed():
    names = plain_names(["ion-ios-bell", "ios-bell", "bell-ion", "ion"], prefixes=("ion", "ios"))
    assert [name.text for name in names] == ["bell", "bell", "bell ion", "ion"]


@pytest.mark.parametrize("text", ["house", "arrow up", "qr code", "brand", "logo"])
def test_things(text):
    assert is_thing(text)


@pytest.mark.parametrize(
    "text",
    ["", "7", "4k", "alpha b", "letter", "circle a", "page 3", "brand x11", "kiwi logo", "日"],
)
def test_letters_digits_and_logos_are_not_things(text):
    assert not is_thing(text)


def test_a_brand_is_drawn_as_a_logo_by_half_as_many_sets_as_plainly():
    names = [("a", "brand kiwi"), ("b", "kiwi logo"), ("c", "kiwi"), ("d", "kiwi"), ("e", "kiwi")]
    names += [("a", "logo box"), ("a", "box"), ("b", "box"), ("c", "box"), ("d", "bell")]
    assert logos(names) == {"kiwi"}


def test_a_family_is_the_first_word_in_the_singular():
    texts = ["arrow left", "arrows left", "glass", "glasses", "bus", "box"]
    assert [family_of(text) for text in texts] == [
        *("arrow", "arrow", "glass", "glasse", "bus", "box")
    ]
