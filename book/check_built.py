"""Check the built book: its links, what its pages load, and its notebooks.

Links and anchors must lead somewhere, no other host may be asked for anything, and every executed
page must offer its notebook with results. Run after the build, from the repository::

    python book/check_built.py
"""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUILT = Path(__file__).parent / "_build" / "html"
LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "source": "src"}
STYLE_LOADS = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """The ids of a page and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note ids, links and what is loaded."""
        attrs, self._inside = dict(attrs), tag
        self.ids |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        address = attrs.get(LINKS.get(tag))
        if address and attrs.get("rel") != "canonical":
            (self.links if tag == "a" else self.loads).append(address.strip())

    def handle_endtag(self, tag):
        """Leave a script or a style sheet."""
        self._inside = None

    def handle_data(self, data):
        """Note the addresses that scripts and style sheets within the page name."""
        if self._inside in ("script", "style"):
            for mark in ("https://", "http://"):
                self.loads += [mark + rest[:40] for rest in data.split(mark)[1:]]


def is_elsewhere(address):
    """Return whether an address is one of another host."""
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") or bool(parts.netloc)


def link_complaints(folder, pages):
    """Complain about links without a target and about loads from another host.

    Parameters
    ----------
    folder : Path
    pages : dict of str to Page
        By their names in the folder.
    """
    complaints = []
    for name, page in pages.items():
        complaints += [f"{name} loads {a}" for a in sorted(set(page.loads)) if is_elsewhere(a)]
        for address in [*page.links, *page.loads]:
            parts = urlsplit(address)
            if is_elsewhere(address) or parts.scheme:
                continue
            target = (folder / name).parent / unquote(parts.path) if parts.path else folder / name
            if not target.exists():
                complaints.append(f"{name}: {address} does not exist")
            elif parts.fragment and (other := pages.get(_name(folder, target))):
                if unquote(parts.fragment) not in other.ids:
                    complaints.append(f"{name}: {address} has no such anchor")
    return complaints


def style_complaints(folder):
    """Complain about style sheets that load something from another host."""
    sheets = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.css")}
    return [f"{name} loads {a}" for name, text in sheets.items() for a in STYLE_LOADS.findall(text)]


def _name(folder, path):
    path = path.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None


def notebook_complaints(folder, name, page):
    """Complain about an executed page that offers no notebook, or one without results."""
    found = [folder / unquote(a) for a in page.links if a.endswith(".ipynb")]
    if not found:
        return [f"{name} offers no notebook"]
    cells = json.loads(found[0].read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if any(cell["execution_count"] is None for cell in code):
        return [f"{name}: its notebook has cells that did not run"]
    return [] if any(cell["outputs"] for cell in code) else [f"{name}: its notebook has no outputs"]


def main(folder=BUILT):
    """Print all complaints and return how many there are."""
    folder = folder.resolve()
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}
    complaints = link_complaints(folder, pages) + style_complaints(folder)
    for path in sorted(Path(__file__).parent.glob("*.md")):
        if "{code-cell}" in path.read_text(encoding="utf-8"):
            name = f"{path.stem}.html"
            complaints += notebook_complaints(folder, name, pages[name])
    print("\n".join(complaints or [f"{len(pages)} pages: nothing to complain about"]))
    return len(complaints)


if __name__ == "__main__":
    sys.exit(main() > 0)
