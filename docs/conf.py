"""How Sphinx builds the site from docs/: ``make docs``. Needs no network, nor do its pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib
from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole

import scenarios

DOCS = Path(__file__).parent

project = "Chipweave"
author = "The Chipweave authors"
copyright = author
version = release = scenarios.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
root_doc = "index"
exclude_patterns = ["_templates", "README.md"]
default_role = "named"
templates_path = ["_templates"]
# A font with the measures of mathematics: where there is none, browsers draw low brackets.
MATH_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
html_static_path = ["_static", str(MATH_FONT)]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Generated anew by each build, and not in git: a page for each public name, one for each figure.
autosummary_generate = True
autosummary_imported_members = False
autodoc_typehints = "none"
numpydoc_show_class_members = False
add_module_names = False
toc_object_entries = False

html_theme = "pydata_sphinx_theme"
html_title = "Chipweave"
html_css_files = ["chipweave.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "quickstart": [], "model": [], "not-modelled": [], "validation": []}
pygments_style = "a11y-high-contrast-light"


def write_gallery(app: Sphinx) -> None:
    """One page for each script of docs/gallery: what it shows, the figure, the script."""
    folder = DOCS / "gallery" / "generated"
    folder.mkdir(exist_ok=True)
    for script in sorted((DOCS / "gallery").glob("*.py")):
        says = script.read_text(encoding="utf-8").split('"""')[1].strip()
        title = says.rstrip(".").partition(":")[0]
        page = (
            f"{title}\n{'=' * len(title)}\n\n{says}\n\n"
            f".. image:: ../img/{script.stem}.svg\n   :alt: {title}\n\n"
            f".. literalinclude:: ../{script.name}\n   :language: python\n   :start-at: from __future__\n"
        )
        target = folder / f"{script.stem}.rst"
        if not target.exists() or target.read_text(encoding="utf-8") != page:
            target.write_text(page, encoding="utf-8")


def lead_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """On the site a script of the gallery is the page that shows it; files outside docs/ are named."""
    if docname == "gallery/README":
        source[0] = re.sub(r"\]\((\w+)\.py\)", r"](generated/\1.rst)", source[0])
        source[0] += "\n:::{toctree}\n:hidden:\n:glob:\n\ngenerated/*\n:::\n"
    source[0] = re.sub(r"\[([^\]]+)\]\(((?:\.\./)+)((?:notebooks|sim|scenarios|tests)/[^)]*|[A-Z]+\.\w+)\)",
                       r"\1 (`\3`)", source[0])  # fmt: skip


class Named(PyXRefRole):
    """Single backticks of docstrings: a link where a dotted name says to what, else code (a parameter)."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the node."""
        if "." not in self.text:
            return [nodes.literal(self.text, self.text)], []
        self.name = "py:obj"
        return super().run()


def visit_math(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """MathML, which browsers draw without a script."""
    block = isinstance(node, nodes.math_block)
    text = node.astext().strip()
    if block and r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    markup = latex2mathml.tex2mathml(text, as_block=block)
    translator.body.append(f'<div class="math">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Hooks of the build."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None)
    )
    app.add_role("named", Named())
    app.connect("builder-inited", write_gallery)
    app.connect("source-read", lead_to_pages)
