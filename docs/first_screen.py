"""Draws the picture of the README's first screen from the code that stands above it.

``python docs/first_screen.py`` writes ``first_screen.png`` beside this file. The code
is kept in the picture, where a test compares it with the README's.
"""

import re
from pathlib import Path
from textwrap import dedent

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

HERE = Path(__file__).parent
PICTURE = HERE / "first_screen.png"


def first_code():
    """The README's first block of Python."""
    text = (HERE.parent / "README.rst").read_text(encoding="utf-8")
    block = re.search(r"\.\. code-block:: python\n((?:\n|    .*\n)+)", text)
    return dedent(block[1]).strip()


def draw(path=PICTURE):
    """Run it and save the figure that it leaves; returns the code's names."""
    code, names = first_code(), {}
    plt.close("all")
    exec(compile(code, "README.rst", "exec"), names)
    (number,) = plt.get_fignums()
    figure = plt.figure(number)
    figure.set_size_inches(7, 3.6)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as image:  # 64 colours are enough, and a third of the bytes
        few = image.convert("RGB").quantize(64)
    note = PngInfo()
    note.add_text("Source", code)
    few.save(path, optimize=True, pnginfo=note)
    return names


if __name__ == "__main__":
    draw()
    print(f"saved {PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")
