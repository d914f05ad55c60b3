"""A picture as SVG that stands inside a page: it takes the page's colours and font, and says in words what it shows."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

from matplotlib import rc_context

from udesys.report import style
from udesys.report.style import Picture

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# What a page says in its style sheet, for light and for dark
COLOURS = {
    style.BLACK: "--text",
    style.INK: "--ink",
    style.SHADE: "--shade",
    style.FAINT: "--faint",
    "#ffffff": "--paper",
    style.ORANGE: "--orange",
    style.SKY: "--sky",
    style.GREEN: "--green",
    style.BLUE: "--blue",
    style.VERMILLION: "--vermillion",
    style.PURPLE: "--purple",
}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_REFERENCE = re.compile(r"#([A-Za-z_][\w.-]*)")
_DRAWN = ("d", "x", "y", "width", "height", "points")


def inline_svg(picture: Picture, name: str, text: str) -> str:
    """The picture as an `svg` element without anything outside it; equal pictures give equal text.

    Args:
        picture: what to write.
        name: begins every id in it, so that several pictures can stand in one page.
        text: what it shows, for those who do not see it.
    """
    root = ElementTree.fromstring(_matplotlib_svg(picture))
    for node in root.findall(f"{{{SVG}}}metadata"):
        root.remove(node)
    _drop_rules(root)
    _keep_referenced_ids(root, name)
    for node in root.iter():
        _clean(node)
    _share_styles(root)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": text, "class": "figure"}
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _matplotlib_svg(picture: Picture) -> str:
    buffer = io.StringIO()
    look = {"svg.fonttype": "none", "svg.hashsalt": "udesys", "svg.image_inline": True}
    with rc_context(look):
        picture.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _drop_rules(root) -> None:
    """Remove matplotlib's style sheet, which would hold for the whole page."""
    for node in list(root.iter()):
        for child in list(node):
            if child.tag == f"{{{SVG}}}style":
                node.remove(child)


def _keep_referenced_ids(root, name: str) -> None:
    texts = [value for node in root.iter() for key, value in node.attrib.items() if not key.endswith("id")]
    referenced = {found for text in texts if "#" in text for found in _REFERENCE.findall(text)}
    new: dict[str, str] = {}
    for node in root.iter():
        own = node.attrib.pop("id", None)
        if own in referenced and own not in new:
            new[own] = node.attrib["id"] = f"{name}-{len(new)}"
    for node in root.iter():
        for key, value in node.attrib.items():
            if "#" in value and (key == f"{{{XLINK}}}href" or "url(" in value):
                node.attrib[key] = _REFERENCE.sub(lambda m: f"#{new.get(m[1], m[1])}", value)


def _clean(node) -> None:
    for key in _DRAWN:
        if key in node.attrib:
            node.attrib[key] = " ".join(_LONG_NUMBER.sub(_rounded, node.attrib[key]).split())
    if "style" in node.attrib:
        text = _COLOUR.sub(_variable, node.attrib["style"])
        node.attrib["style"] = re.sub(r"font(-family)?: [^;]*", _font, text)
    node.tail = None if not (node.tail or "").strip() else node.tail
    node.text = None if not (node.text or "").strip() else node.text


def _rounded(match: re.Match) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _variable(match: re.Match) -> str:
    variable = _BY_COLOUR.get(match[0].lower())
    return f"var({variable})" if variable else match[0]


_BY_COLOUR = {colour.lower(): variable for colour, variable in COLOURS.items()}


def _font(match: re.Match) -> str:
    """The size alone: the family is the page's."""
    size = re.search(r"(?:bold|600|700)?\s*([\d.]+px)", match[0])
    weight = "font-weight: bold; " if "bold" in match[0] or "700" in match[0] else ""
    return "font-family: inherit" if size is None else f"{weight}font-size: {size[1]}"


def _share_styles(root) -> None:
    """Write the style of many equal markers once, on the group they are in."""
    for group in root.iter(f"{{{SVG}}}g"):
        uses = [child for child in group if child.tag == f"{{{SVG}}}use"]
        styles = {child.attrib.get("style", "") for child in uses}
        if len(uses) > 1 and len(styles) == 1 and len(uses) == sum(c.tag != f"{{{SVG}}}defs" for c in group):
            group.attrib["style"] = styles.pop()
            for child in uses:
                child.attrib.pop("style", None)
