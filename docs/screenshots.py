"""Take the README's pictures of the three pages.

Reads  the pages as they are served (python erp_dashboard.py and the other two; `make demo` does)
Writes docs/history.png, docs/live.png, docs/recommendations.png
Run by a person who changed a page, with Chromium installed (`make browser`)

    python docs/screenshots.py
    python docs/screenshots.py --only history --theme dark --language en

Exit codes: 0 done; 1 a page is not served, or there is no Chromium.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

FOLDER = Path(__file__).resolve().parent
PAGES = {"history": 8501, "live": 8502, "recommendations": 8503}
WIDTH, HEIGHT = 1280, 800  # px
COLORS = 160  # enough for charts, and a small file
PATIENCE_MS = 60_000
DRAWN = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.dataset.testScriptState === 'notRunning'
        && !document.querySelector('.st-key-going-on, [data-testid="stSkeleton"]');
}"""


def main() -> int:
    flags = parse_flags()
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(found).exists():
            print("error: no Chromium: `make browser` installs it", file=sys.stderr)
            return 1
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        for name in [flags.only] if flags.only else PAGES:
            url = f"http://127.0.0.1:{PAGES[name]}/?lang={flags.language}"
            try:
                picture = take(browser, url, flags.theme)
            except Error as error:
                print(f"error: {url}: {error.message.splitlines()[0]}", file=sys.stderr)
                return 1
            file = FOLDER / f"{name}.png"
            picture.save(file, optimize=True)
            print(f"{file.name}: {file.stat().st_size // 1024} KB")
    return 0


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PAGES, help="this page alone (default: all)")
    parser.add_argument(
        "--theme", choices=["light", "dark"], default="light", help="default: %(default)s"
    )
    parser.add_argument(
        "--language", choices=["es", "en"], default="es", help="default: %(default)s"
    )
    return parser.parse_args()


def take(browser: Browser, url: str, theme: str) -> Image.Image:
    """The first screen of a page once it is drawn."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme, locale="es-ES"
    )
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector('[data-testid="stMetric"], .reco-card')
    page.wait_for_function(DRAWN)
    page.wait_for_timeout(1_500)  # charts move into place
    content = page.screenshot()
    page.close()
    return Image.open(io.BytesIO(content)).convert("RGB").quantize(COLORS)


if __name__ == "__main__":
    sys.exit(main())
