"""A Markdown extension for the site: links to files outside ``docs/`` become text, since the site has only pages."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

PAGES = (".md", ".png", "/")


class Unlink(Treeprocessor):
    """Turns links that leave the pages into spans."""

    def run(self, root: Element) -> None:
        """Change the links of a page."""
        for link in list(root.iter("a")):
            target = link.get("href", "").partition("#")[0]
            if "://" not in target and target.startswith("../") and not target.endswith(PAGES):
                link.tag = "span"
                del link.attrib["href"]


class SourceLinks(Extension):
    """Adds ``Unlink`` after all that makes links."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register the processor."""
        md.treeprocessors.register(Unlink(md), "source_links", 5)


def makeExtension(**options: object) -> SourceLinks:  # noqa: N802
    """Return the extension, as Markdown asks for it."""
    return SourceLinks(**options)
