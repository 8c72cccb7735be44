"""Follow every link of a built site: ``python tests/check_site.py build/site``. Exit code 1 where one leads nowhere."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = ("script", "img", "link", "iframe", "source")  # a reader's browser asks for them without being told to


class Page(HTMLParser):
    """The links of a page, what it loads, and the places in it that a link can name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append((tag, value))
            elif name in ("id", "name") and value:
                self.places.add(value)


def faults(site: Path) -> list[str]:
    """Return what is wrong with the links of a site, a line each."""
    pages = {file.resolve(): Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    found = []
    for file, page in pages.items():
        if file.name == "404.html":  # its links are from the root of wherever the site will lie
            continue
        for tag, link in page.links:
            parts = urlsplit(link)
            shown = f"{file.relative_to(site.resolve())}: {link}"
            if parts.scheme or parts.netloc:
                if tag in LOADED and parts.scheme != "data":
                    found.append(f"{shown}: is loaded from elsewhere")
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target = target / "index.html"
            if not target.exists():
                found.append(f"{shown}: no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                found.append(f"{shown}: no such place in it")
    return found


def main() -> int:
    """Print the faults of the site that the command line names, and return the exit code."""
    site = Path(sys.argv[1])
    found = faults(site)
    print("\n".join(found) or f"{len(list(site.rglob('*.html')))} pages, all links lead somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
