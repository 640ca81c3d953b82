"""The intent task is neither trivial nor hopeless, for a linear model outside of fedcc."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

Row = dict[str, str]


@pytest.fixture(scope="module")
def split(interactions: list[Row]) -> tuple[list[Row], list[Row]]:
    """Training and test rows, without a common customer."""
    train = [row for row in interactions if int(row["customer_id"][1:]) % 4]
    test = [row for row in interactions if not int(row["customer_id"][1:]) % 4]
    return train, test


def correct(train: list[Row], test: list[Row]) -> np.ndarray:
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    table = words.fit_transform(row["text"] for row in train)
    model = LogisticRegression(C=10, tol=1e-3, max_iter=300).fit(
        table, [row["intent"] for row in train]
    )
    predicted = model.predict(words.transform(row["text"] for row in test))
    return predicted == np.array([row["intent"] for row in test])


def test_word_counts_learn_the_intents_but_not_perfectly(
    split: tuple[list[Row], list[Row]],
) -> None:
    right = correct(*split)

    assert 0.85 < right.mean() < 0.985
    for style in ("typed", "speech"):
        chosen = np.array([row["style"] == style for row in split[1]])
        assert right[chosen].mean() > 0.85


def test_shuffled_labels_cannot_be_learnt(split: tuple[list[Row], list[Row]]) -> None:
    train, test = split
    shuffled = np.random.default_rng(0).permutation([row["intent"] for row in train])

    wrong = [{**row, "intent": intent} for row, intent in zip(train, shuffled, strict=True)]
    right = correct(wrong[:1500], test)

    assert right.mean() < 0.12  # the largest intent has 7 %


def test_languages_share_few_words_so_one_does_not_teach_another(
    split: tuple[list[Row], list[Row]],
) -> None:
    english = [row for row in split[0] if row["language"] == "en"]
    german = [row for row in split[1] if row["language"] == "de"]

    assert correct(english[:2500], german).mean() < 0.5
