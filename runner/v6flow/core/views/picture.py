"""The picture of a graph for the terminal: boxes in layers, and the lines between them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from msgspec import Struct, field

from v6flow.core.views.drawing import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.views.drawing import Graph, Node

MAX_PICTURE = 30  # steps: beyond, no person follows the lines

_GAP = 3  # columns between two boxes of a layer
_SWEEPS = 8  # times the layers are put in order by their neighbours: more changes nothing
_WIDEST = 34  # columns of a text in a box
_BORDERS = {"task": tuple("┌─┐│└┘"), "central": tuple("╔═╗║╚╝"), "local": tuple("╭─╮│╰╯")}
_TO_ASCII = str.maketrans("┌─┐│└┘╔═╗║╚╝╭╮╰╯├┤┬┴┼▼…", "+-+|+++=+|++..''+++++v~")

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│", _UP | _RIGHT: "└", _UP | _LEFT: "┘", _DOWN | _RIGHT: "┌", _DOWN | _LEFT: "┐",
    _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤", _UP | _LEFT | _RIGHT: "┴",
    _DOWN | _LEFT | _RIGHT: "┬", _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip


def picture(graph: Graph, width: int, *, unicode: bool = True) -> str:
    """The graph in so many columns: boxes in layers and the lines between them, or else a list of the layers.

    Boxes with double borders are central tasks, those with iteration corners are local steps.
    """
    if len(graph.outermost) <= MAX_PICTURE:
        for brief in (False, True):
            drawn = _Picture(graph, brief=brief).draw()
            if max((_columns(line) for line in drawn), default=0) <= width:
                text = "\n".join(drawn) + "\n"
                return text if unicode else text.translate(_TO_ASCII)
    return _listed(graph)


def _listed(graph: Graph) -> str:
    lines: list[str] = []
    for place, layer in enumerate(graph.layers, 1):
        lines.append(f"layer {place}")
        for name in layer:
            step = graph.outermost[name]
            told = "; ".join(visible(text) for text in step.texts)
            after = f" after {', '.join(step.above)}" if step.above else ""
            lines.append(f"  {name} ({told}){after}")
    return "\n".join(lines) + "\n"


class _Box(Struct):
    """A step in its layer, or the place where a line passes through a layer (then `step` is None)."""

    name: str
    step: Node | None
    text: list[str] = field(default_factory=list)
    width: int = 1
    left: int = 0
    ports: dict[str, int] = field(default_factory=dict)  # for each box above, the column where its line arrives

    @property
    def centre(self) -> int:
        return self.left + self.width // 2

    @property
    def out(self) -> int:
        """The column where the box's own lines begin."""
        return self.centre if self.step is not None else next(iter(self.ports.values()), self.centre)


class _Net(Struct):
    """All lines from one box to the next layer: they share one track."""

    start: int
    ends: list[int]
    arrows: list[int]  # those of the ends where a step is, and not a place to pass
    track: int = 0

    @property
    def span(self) -> tuple[int, int]:
        return min(self.start, *self.ends), max(self.start, *self.ends)

    @property
    def straight(self) -> bool:
        return self.ends == [self.start]


class _Picture:
    """Lays out boxes layer by layer, and draws the lines in the channels between the layers."""

    def __init__(self, graph: Graph, *, brief: bool) -> None:
        layers = graph.layers
        self._above: dict[str, list[str]] = {}
        self._below: dict[str, list[str]] = {}
        self._boxes: dict[str, _Box] = {}
        self._layers: list[list[str]] = [list(layer) for layer in layers]
        depth = {name: place for place, layer in enumerate(layers) for name in layer}
        for name, step in graph.outermost.items():
            text = [_cut(name), *([] if brief else [_cut(visible(each)) for each in step.texts])]
            self._add(_Box(name, step, text))
        for name, step in graph.outermost.items():
            for source in step.above:
                self._connect(source, name, depth)
        for box in self._boxes.values():
            if box.step is not None:
                widest = max(_columns(line) for line in box.text)
                box.width = max(widest + 4, 2 * len(self._above[box.name]) + 5) | 1  # odd: it has a middle

    def draw(self) -> list[str]:
        self._order()
        self._place()
        lines: list[str] = []
        for place, layer in enumerate(self._layers):
            if place:
                lines += _channel(self._nets(place))
            lines += self._row(layer)
        return [line.rstrip() for line in lines]

    def _add(self, box: _Box) -> None:
        self._boxes[box.name] = box
        self._above[box.name], self._below[box.name] = [], []

    def _connect(self, source: str, name: str, depth: Mapping[str, int]) -> None:
        """Join two boxes; a line that passes layers has a place in each, shared by all of one source."""
        before = source
        for layer in range(depth[source] + 1, depth[name]):
            passing = f"{source} {layer}"  # no step has such a name
            if passing not in self._boxes:
                self._add(_Box(passing, None, width=3))
                self._layers[layer].append(passing)
                self._join(before, passing)
            before = passing
        self._join(before, name)

    def _join(self, above: str, below: str) -> None:
        self._below[above].append(below)
        self._above[below].append(above)

    # -- order within the layers, and columns

    def _order(self) -> None:
        """Put each layer in the order of its neighbours' middles, from above, from below; keep the best."""
        best, crossings = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            order = range(1, len(self._layers)) if down else range(len(self._layers) - 2, -1, -1)
            for place in order:
                beside = self._layers[place - 1 if down else place + 1]
                rank = {name: float(rank) for rank, name in enumerate(beside)}
                near = self._above if down else self._below
                here = {name: float(rank) for rank, name in enumerate(self._layers[place])}
                self._layers[place].sort(key=lambda name: _mean([rank[other] for other in near[name]], here[name]))
            found = self._crossings()
            if found < crossings:
                best, crossings = [list(layer) for layer in self._layers], found
        self._layers = best

    def _crossings(self) -> int:
        total = 0
        for above, below in zip(self._layers, self._layers[1:]):  # noqa: B905 - the second is one shorter
            rank = {name: place for place, name in enumerate(below)}
            ends = [sorted(rank[other] for other in self._below[name]) for name in above]
            total += sum(
                second < first
                for place, firsts in enumerate(ends)
                for seconds in ends[place + 1 :]
                for first in firsts
                for second in seconds
            )
        return total

    def _place(self) -> None:
        """Give each box its columns: near the middle of its neighbours, in order, not touching."""
        for layer in self._layers:
            self._settle(layer, {})
        for sweep in range(_SWEEPS):
            near = self._above if sweep % 2 == 0 else self._below
            for layer in self._layers if sweep % 2 == 0 else reversed(self._layers):
                wanted = {
                    name: _mean([self._boxes[other].centre for other in near[name]], self._boxes[name].centre)
                    for name in layer
                }
                self._settle(layer, wanted)
        leftmost = min((box.left for box in self._boxes.values()), default=0)
        for box in self._boxes.values():
            box.left -= leftmost

    def _settle(self, layer: Sequence[str], wanted: Mapping[str, float]) -> None:
        """Put the boxes of a layer as near as can be to where they want their middles to be.

        Boxes that push each other move as one block, to the mean of what its boxes want.
        """
        blocks: list[tuple[list[_Box], float]] = []  # the boxes, and the left edge that the block wants
        for name in layer:
            box = self._boxes[name]
            boxes, left = [box], wanted.get(name, float(box.width // 2)) - box.width // 2
            while blocks and blocks[-1][1] + _extent(blocks[-1][0]) > left:
                before, edge = blocks.pop()
                left = (edge * len(before) + (left - _extent(before)) * len(boxes)) / (len(before) + len(boxes))
                boxes = before + boxes
            blocks.append((boxes, left))
        column = -(10**9)
        for boxes, left in blocks:
            column = max(column, round(left))
            for box in boxes:
                box.left = column
                column += box.width + _GAP

    # -- lines

    def _nets(self, place: int) -> list[_Net]:
        """The lines that come from the layer above this one, with the columns where they begin and end."""
        above, below = self._layers[place - 1], self._layers[place]
        taken = {self._boxes[name].out: name for name in above if self._below[name]}
        for name in below:
            self._dock(self._boxes[name], taken)
        nets = [self._net(self._boxes[name]) for name in above if self._below[name]]
        _assign_tracks(nets)
        return nets

    def _net(self, box: _Box) -> _Net:
        below = [self._boxes[name] for name in self._below[box.name]]
        arrows = [other.ports[box.name] for other in below if other.step is not None]
        return _Net(box.out, [other.ports[box.name] for other in below], arrows)

    def _dock(self, box: _Box, taken: Mapping[int, str]) -> None:
        """Choose where lines arrive at a box: from left to right as they come, never where another begins."""
        sources = sorted(self._above[box.name], key=lambda name: self._boxes[name].out)
        first = box.centre - (len(sources) - 1)
        used: set[int] = set()
        room = range(box.left + (box.step is not None), box.left + box.width - (box.step is not None))
        for place, name in enumerate(sources):
            wanted = first + 2 * place
            free = [column for column in room if column not in used and taken.get(column, name) == name]
            later = [column for column in free if not used or column > max(used)] or free
            box.ports[name] = min(later, key=lambda column: (abs(column - wanted), column))
            used.add(box.ports[name])

    def _row(self, layer: Sequence[str]) -> list[str]:
        boxes = [self._boxes[name] for name in layer]
        height = max(len(box.text) for box in boxes) + 2
        rows: list[str] = []
        for line in range(height):
            row = ""
            for box in boxes:
                shown, left = _slice(box, line, height)
                row += " " * (left - _columns(row)) + shown
            rows.append(row)
        return rows


def _slice(box: _Box, line: int, height: int) -> tuple[str, int]:
    """One line of a box in a layer of some height, and the column where it begins."""
    if box.step is None:
        return "│", box.out
    corner, flat, corner2, side, corner3, corner4 = _BORDERS.get(box.step.shape, _BORDERS["task"])
    inner = box.width - 2
    if line == 0:
        return corner + flat * inner + corner2, box.left
    if line == height - 1:
        return corner3 + flat * inner + corner4, box.left
    text = box.text[line - 1] if line <= len(box.text) else ""
    room = inner - _columns(text)
    return side + " " * (room // 2) + text + " " * (room - room // 2) + side, box.left


def _assign_tracks(nets: Sequence[_Net]) -> None:
    """Give each net that bends a track of its own, so that few cross; those that do not meet share one."""
    ordered: list[_Net] = []
    for net in (each for each in nets if not each.straight):
        costs = [
            sum(_crossed(other, net) for other in ordered[:place])
            + sum(_crossed(net, other) for other in ordered[place:])
            for place in range(len(ordered) + 1)
        ]
        ordered.insert(costs.index(min(costs)), net)
    for place, net in enumerate(ordered):
        meets = [other.track for other in ordered[:place] if _meet(other, net)]
        net.track = max(meets, default=0) + 1


def _crossed(upper: _Net, lower: _Net) -> int:
    """How many crossings there are between two nets, one's track above the other's."""
    low, high = upper.span
    down = sum(low <= column <= high for column in (lower.start,))
    low, high = lower.span
    return down + sum(low <= column <= high for column in upper.ends)


def _meet(one: _Net, other: _Net) -> bool:
    return one.span[0] <= other.span[1] + 1 and other.span[0] <= one.span[1] + 1


def _channel(nets: Sequence[_Net]) -> list[str]:
    """The lines between two layers: down from each box, along its track, down to arrows.

    Where lines cross, the one that goes down is drawn, the other interrupted: a joint is one net's own.
    """
    height = max((net.track for net in nets), default=0)
    grid: list[dict[int, str]] = [{} for _ in range(height + 2)]
    for net in nets:
        for column in range(net.span[0] + 1, net.span[1]):
            grid[net.track].setdefault(column, "─")
    for net in nets:
        for row in range(net.track):
            grid[row][net.start] = "│"
        for column in net.ends:
            for row in range(net.track + 1, height + 1):
                grid[row][column] = "│"
            grid[height + 1][column] = "▼" if column in net.arrows else "│"
        for column in {net.start, *net.ends}:
            grid[net.track][column] = _joint(net, column)
    width = max((net.span[1] for net in nets), default=-1) + 1
    return ["".join(row.get(column, " ") for column in range(width)) for row in grid]


def _joint(net: _Net, column: int) -> str:
    low, high = net.span
    arms = (_UP if column == net.start else 0) | (_DOWN if column in net.ends else 0)
    return _LINES[arms | (_LEFT if column > low else 0) | (_RIGHT if column < high else 0)]


def _extent(boxes: Sequence[_Box]) -> int:
    return sum(box.width + _GAP for box in boxes)


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _cut(text: str) -> str:
    """As much of a text as a box has columns for."""
    if _columns(text) <= _WIDEST:
        return text
    while _columns(text) > _WIDEST - 1:
        text = text[:-1]
    return text + "…"


def _columns(text: str) -> int:
    """How many columns a text takes at a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)
