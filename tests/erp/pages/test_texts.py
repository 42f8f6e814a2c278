"""The table of texts."""

import ast
import re
from pathlib import Path
from string import Formatter

from erp.pages.texts import LANGUAGES, TEXTS, text

ROOT = Path(__file__).resolve().parents[3]


def test_every_text_is_in_every_language() -> None:
    """No text is missing or empty in a language."""
    lacking = [
        (key, language)
        for key, by_language in TEXTS.items()
        for language in LANGUAGES
        if not by_language.get(language, "").strip()
    ]
    assert [] == lacking


def test_languages_take_the_same_values() -> None:
    """What the caller fills in is the same in every language."""
    for key, by_language in TEXTS.items():
        fields = [
            {name for _, name, _, _ in Formatter().parse(by_language[language]) if name is not None}
            for language in LANGUAGES
        ]
        assert all(each == fields[0] for each in fields), key


def test_values_are_filled_in() -> None:
    """A text with a place for a value takes it."""
    assert "3 de 12" == text("es", "top_of", shown=3, total=12)


def test_every_key_that_is_asked_for_exists() -> None:
    """No page asks for a text that is not in the table."""
    asked = set()
    for file in (*ROOT.glob("*.py"), *(ROOT / "erp").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name | ast.Attribute)
                and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr) == "t"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                asked.add(node.args[0].value)
    assert len(asked) > 50
    assert set() == asked - set(TEXTS)


def test_every_text_is_asked_for() -> None:
    """By its name, or by a name that is put together; what nobody shows is deleted."""
    names, patterns = set(), []
    pages = [*ROOT.glob("*.py"), *(ROOT / "erp" / "pages").glob("*.py")]
    for node in (node for file in pages for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Constant):
            names.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [
                re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in node.values
            ]
            if any("_" in part for part in parts):
                patterns.append("".join(parts))
    unasked = {key for key in TEXTS if key not in names}
    assert set() == {key for key in unasked if not any(re.fullmatch(p, key) for p in patterns)}
