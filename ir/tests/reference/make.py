"""Writes the expected results of the interpreter's tests: `python make.py [family…]`, with numpy, mpmath and torch installed."""

import sys

import common
import composite
import contraction
import elementwise
import indexing
import leaf
import movement
import network
import reduction
import sorting
import window

FAMILIES = {
    module.__name__: module
    for module in (leaf, elementwise, movement, indexing, contraction, window, reduction, sorting, composite, network)
}

for family in sys.argv[1:] or FAMILIES:
    common.write(family, list(FAMILIES[family].cases()))
