"""Names a person can read, from the codes of a till: expanded, in title case, and unique.

`FRZN SS PREMIUM ENTREES/DNRS/N`, `12 OZ`, brand `Private` becomes
`Store Brand Frozen Single-Serve Premium Entrees/Dinners, 12 oz`.
"""

import re
from functools import cache

import polars as pl

from csv_out.till_words import CUT_OFF, PHRASES, VAGUE, WORDS

CUT_AT = 29  # characters; the till cut a product type of this length or more, often in a word
SMALL = frozenset(
    {"a", "an", "and", "at", "but", "by", "except", "for", "in", "of", "on", "or", "over"}
    | {"the", "than", "to", "under", "with"}
)
DEPARTMENTS = {
    "CNTRL/STORE SUP": "Central & Store Supplies",
    "DRUG GM": "Drug & General Merchandise",
    "GM MERCH EXP": "General Merchandise Expense",
}
NO_CATEGORY = (None, "COUPON/MISC ITEMS")  # where the department says more


def _whole_phrase(code: str) -> str:
    before = r"(?<![A-Z])" if code[0].isalpha() else ""
    behind = r"(?![A-Z])" if code[-1].isalpha() else ""
    return before + re.escape(code) + behind


_phrases = re.compile("|".join(_whole_phrase(code) for code in sorted(PHRASES, key=len)[::-1]))


def title_case(text: str) -> str:
    """Every word with a capital but the small ones inside; apostrophes start no word.

    >>> title_case("CHILDREN'S  CAKE TIN WITH T-LIGHT")
    "Children's Cake Tin with T-Light"
    """
    words = re.sub(r"(?<!\w)[^\W\d_][\w']*(-?)", lambda found: _capital(*found.group(0, 1)), text)
    words = " ".join(words.split())
    return words[:1].upper() + words[1:]


def _capital(word: str, hyphen: str = "") -> str:
    return word.lower() if word.lower() in SMALL and not hyphen else word.capitalize()


@cache
def readable(text: str) -> str:
    """A code of the catalogue in words.

    >>> readable("FRZN MEAT/MEAT DINNERS")
    'Frozen Meat/Meat Dinners'
    >>> readable("SFT DRNK 2 LITER BTL CARB INCL")
    'Soft Drink 2-Liter Bottle Carbonated'
    """
    whole = re.sub(r"\s*\([^)]*$", "", text.strip())  # without a bracket that was cut off
    words = _phrases.sub(lambda code: PHRASES[code[0]], whole)
    if len(whole) >= CUT_AT:
        words = re.sub(r"[A-Z]+$", lambda last: CUT_OFF.get(last[0], last[0]), words)
    words = re.sub(r"\b(MISC|PKG|HYGN|FEM|ACCESS)\.", r"\1 ", words)
    words = re.sub(r"\b(WOMEN|MEN|CHILDREN|BOY|GIRL) S\b", r"\1'S", words)
    words = re.sub(r"(?<![A-Za-z\d])([A-Za-z']+)(-?)", lambda found: _word(*found.groups()), words)
    words = re.sub(r"(?<=\d)[A-Z]+\b", lambda unit: unit[0].lower(), words)
    words = re.sub(r"\s*&\s*", " & ", words)
    words = re.sub(r"\s*([:,])\s*", r"\1 ", words)
    words = re.sub(r"(?<=\w)- ", " - ", words)
    words = re.sub(r"(?<=\w)\(", " (", words)
    words = re.sub(r"\)(?=\w)", ") ", words)
    words = " ".join(words.split()).strip(" -/:,&")
    return words[:1].upper() + words[1:]


def _word(word: str, hyphen: str) -> str:
    return WORDS.get(word, _capital(word, hyphen) if word.isupper() else word) + hyphen


@cache
def readable_size(text: str) -> str | None:
    """A package size in plain text, or None where it is an article number or a code.

    >>> readable_size("N    16 OZ"), readable_size(".25 LB"), readable_size("998690  PK")
    ('16 oz', '0.25 lb', None)
    """
    size = re.sub(r"^[A-Z]{1,4}\s+(?=[\d.])", "", text.strip())
    if re.search(r"\d{5}", size) or not re.search(r"\d", size):
        return None
    size = re.sub(r"(?<=\d)\.\s+(?=\d)", ".", size)
    size = re.sub(r"(?<![\d.])\.(?=\d)", "0.", size)
    size = re.sub(r"(?<=\d)\s*X\s*(?=\d)", " x ", size)
    size = re.sub(r"(\.\d*?)0+(?=\D|$)", r"\1", size)
    size = re.sub(r"\.(?=\D|$)", "", size)
    return re.sub(r"\s+", " ", size).lower()


def product_names(catalogue: pl.DataFrame) -> pl.Series:
    """A name for every product of Complete Journey's catalogue, no two alike.

    The name is the product type (after its category where it says little), with `Store Brand` in
    front and the package size behind. Where that is not one of a kind the maker's number tells
    them apart, at last the product's own.
    """
    label = [
        _label(*row)
        for row in catalogue.select("product_type", "product_category", "department").iter_rows()
    ]
    size = [readable_size(text) if text else None for text in catalogue["package_size"]]
    named = catalogue.with_columns(label=pl.Series(label), size=pl.Series(size, dtype=pl.String))
    store_brand = pl.when(pl.col("brand") == "Private").then(pl.lit("Store Brand "))
    plain = pl.concat_str(
        store_brand.otherwise(pl.lit("")), "label", (", " + pl.col("size")).fill_null("")
    )
    named = named.with_columns(plain=plain)
    named = named.with_columns(
        by_maker=pl.format("{} (maker {})", "plain", "manufacturer_id"),
        by_number=pl.format("{} #{}", "plain", "product_id"),
    )
    one_of_a_kind = pl.col("plain").is_unique()
    return named.select(
        name=pl.when(one_of_a_kind)
        .then("plain")
        .when(pl.col("by_maker").is_unique())
        .then("by_maker")
        .otherwise("by_number")
    )["name"]


def categories(catalogue: pl.DataFrame) -> pl.Series:
    """The category of every product in words; its department where that says more."""
    rows = catalogue.select("product_category", "department").iter_rows()
    return pl.Series([_category(*row) for row in rows], dtype=pl.String)


@cache
def _category(category: str | None, department: str) -> str:
    if category in NO_CATEGORY:
        return DEPARTMENTS.get(department, readable(department))
    return readable(category)


@cache
def _label(product_type: str | None, category: str | None, department: str) -> str:
    if product_type is None:
        return _category(category, department)
    if product_type in VAGUE and category:
        return f"{readable(category)}: {readable(product_type)}"
    return readable(product_type)
