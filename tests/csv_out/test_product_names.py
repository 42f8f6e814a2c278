"""The codes of a till become names that a person can read."""

import polars as pl
import pytest

from csv_out.product_names import product_names, readable, readable_size, title_case


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("FRZN MEAT/MEAT DINNERS", "Frozen Meat/Meat Dinners"),
        ("FRZN SS PREMIUM ENTREES/DNRS/N", "Frozen Single-Serve Premium Entrees/Dinners"),
        ("SFT DRNK 2 LITER BTL CARB INCL", "Soft Drink 2-Liter Bottle Carbonated"),
        ("CANDY BARS (SINGLES)(INCLUDING", "Candy Bars (Singles)"),
        ("BREAD:ITALIAN/FRENCH", "Bread: Italian/French"),
        ("PNT BTR/JELLY/JAMS", "Peanut Butter/Jelly/Jams"),
        ("SW GDS: SW ROLLS/DAN", "Sweet Goods: Sweet Rolls/Danish"),
        ("WOMEN S GENERAL-MAGAZINE", "Women's General Magazine"),
        ("ONIONS SWEET (BULK&BAG)", "Onions Sweet (Bulk & Bag)"),
        ("NON-CRBNTD DRNKING/MNERAL WATE", "Non-Carbonated Drinking/Mineral Water"),
        ("MISC. HAIR & BEAUTY ACCESS.", "Miscellaneous Hair & Beauty Accessories"),
        ("MEAT: SAUS DRY PPK/PRSLC", "Meat: Sausage Dry Prepacked/Presliced"),
    ],
)
def test_codes_are_spelled_out(code: str, words: str) -> None:
    """Abbreviations are expanded, cut-off words completed, capitals put right."""
    assert words == readable(code)


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("16 OZ", "16 oz"),
        ("N    16 OZ", "16 oz"),
        (".25 LB", "0.25 lb"),
        ("3.50 OZ", "3.5 oz"),
        ("12 X12 IN/EA", "12 x 12 in/ea"),
        ("998690  PK", None),
        ("PINK PANTH", None),
    ],
)
def test_sizes_are_plain_and_article_numbers_are_none(code: str, size: str | None) -> None:
    """A package size is lower case without padding; an article number is no size."""
    assert size == readable_size(code)


def test_title_case_leaves_apostrophes_and_small_words() -> None:
    """Children's, not Children'S; with, not With; T-Light."""
    assert "Children's Tin with T-Light" == title_case(" CHILDREN'S  TIN WITH T-LIGHT ")


def test_products_of_one_description_are_told_apart() -> None:
    """By size, by brand, by maker if that will do, and at last by their own number."""
    columns = (
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    )
    catalogue = pl.DataFrame(
        [
            (1, 7, "GROCERY", "National", "BAG SNACKS", "PRETZELS", "12 OZ"),
            (2, 7, "GROCERY", "National", "BAG SNACKS", "PRETZELS", "16 OZ"),
            (3, 7, "GROCERY", "Private", "BAG SNACKS", "PRETZELS", "12 OZ"),
            (4, 8, "GROCERY", "National", "BAG SNACKS", "PRETZELS", "16 OZ"),
            (5, 7, "GROCERY", "National", "BAG SNACKS", "CORN CHIPS", None),
            (6, 7, "GROCERY", "National", "BAG SNACKS", "CORN CHIPS", None),
            (7, 7, "MEAT", "National", "PORK", "ENHANCED", None),
            (8, 7, "DRUG GM", "National", None, None, None),
        ],
        schema=columns,
        orient="row",
    )
    assert [
        "Pretzels, 12 oz",
        "Pretzels, 16 oz (maker 7)",
        "Store Brand Pretzels, 12 oz",
        "Pretzels, 16 oz (maker 8)",
        "Corn Chips #5",
        "Corn Chips #6",
        "Pork: Enhanced",
        "Drug & General Merchandise",
    ] == product_names(catalogue).to_list()
