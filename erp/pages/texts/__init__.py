"""The one table of what the pages say: key -> language -> text.

Texts are Markdown where Streamlit takes Markdown. A `{name}` is filled by the caller; a value that
comes from the data must be escaped first where the text becomes Markdown (`erp.pages.page.plain`).
"""

from typing import Any

from erp.pages.texts import common, history, live, recommendations

LANGUAGES = {"es": "Español", "en": "English"}

TEXTS: dict[str, dict[str, str]] = {
    **common.TEXTS,
    **history.TEXTS,
    **live.TEXTS,
    **recommendations.TEXTS,
}


def text(language: str, key: str, **values: Any) -> str:
    """The text of `key` in `language`; an unknown key is an error of the program (KeyError)."""
    template = TEXTS[key][language]
    return template.format(**values) if values else template
