"""Text of a PDF that Chromium printed, page by page: as little of a reader as that needs (ISO 32000-1, §7.3, §9.4)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

Characters = dict[int, str]  # of a font, by its glyphs


def pages(pdf: bytes) -> list[str]:
    """What a reader would copy from each page: a line for each run of text, in the order in which they are drawn."""
    objects = {int(n): content for n, content in re.findall(rb"(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL)}
    found = [objects[number] for number in _kids(_number(rb"/Pages", pdf), objects)]
    return ["\n".join(_lines(page, objects[_number(rb"/Contents", page)], objects)) for page in found]


def _kids(number: int, objects: dict[int, bytes]) -> list[int]:
    """Pages below a node of their tree, in order."""
    node = objects[number]
    if b"/Type /Pages" not in node:
        return [number]
    [kids] = re.findall(rb"/Kids \[(.*?)\]", node, re.DOTALL)
    return [page for kid in re.findall(rb"(\d+) 0 R", kids) for page in _kids(int(kid), objects)]


def _lines(owner: bytes, content: bytes, objects: dict[int, bytes]) -> Iterator[str]:
    """Of a page, or of a form, which is what lies under one transparency; `owner` names what the content refers to."""
    named = {name: objects[int(number)] for name, number in re.findall(rb"/([FX]\d+) (\d+) 0 R", owner)}
    fonts = {name: _characters(each, objects) for name, each in named.items() if name.startswith(b"F")}
    for run, form in re.findall(rb"\bBT\b(.*?)\bET\b|/(X\d+) Do", _stream(content), re.DOTALL):
        if run:
            yield _run(run, fonts)
        elif b"/Subtype /Form" in named[form]:
            yield from _lines(_head(named[form]), named[form], objects)


def _run(run: bytes, fonts: dict[bytes, Characters]) -> str:
    font, line = Characters(), ""
    for name, shown in re.findall(rb"/(F\d+) [\d.]+ Tf|(<[0-9A-F]+>[^/]*?)\s*T[jJ]", run):
        if name:
            font = fonts[name]
        glyphs = b"".join(re.findall(rb"<([0-9A-F]+)>", shown))
        line += "".join(font.get(int(glyphs[i : i + 4], 16), "") for i in range(0, len(glyphs), 4))
    return line


def _characters(font: bytes, objects: dict[int, bytes]) -> Characters:
    """By the font's own table: single glyphs, and ranges of them. A font of pictures has none."""
    if b"/Identity-H" not in font:
        return {}
    table, found = _stream(objects[_number(rb"/ToUnicode", font)]), Characters()
    for single in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        for glyph, text in re.findall(rb"<(\w+)> <(\w+)>", single):
            found[int(glyph, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for ranges in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        for first, last, text in re.findall(rb"<(\w+)> <(\w+)> <(\w+)>", ranges):
            start = int(first, 16)
            found |= {glyph: chr(int(text, 16) + glyph - start) for glyph in range(start, int(last, 16) + 1)}
    return found


def _stream(content: bytes) -> bytes:
    [packed] = re.findall(rb"stream\r?\n(.*)\r?\nendstream", content, re.DOTALL)
    return zlib.decompress(packed) if b"/FlateDecode" in _head(content) else packed


def _head(content: bytes) -> bytes:
    """What stands before a stream."""
    return content[: content.index(b"stream")]


def _number(key: bytes, content: bytes) -> int:
    """Of the object that is referred to by a key, once."""
    [number] = re.findall(key + rb" (\d+) 0 R", content)
    return int(number)
