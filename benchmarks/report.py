"""What the benchmarks print, and the measured parts of docs/performance.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.data import SIZES
from benchmarks.figures import CONTENDERS, FIGURES, Measured
from benchmarks.scale import Plan
from benchmarks.throughput import DEFAULT, HITCHPOST, PGBENCH, SETTINGS, Case

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
# Colours that the colour-blind can tell apart; Hitchpost's is the strong one.
STRONG, PALE = "#0072b2", "#b8c4cc"


def figures(measured: Measured) -> str:
    """The figures, whether they are reached, and what they have to be."""
    rows = []
    for figure in FIGURES:
        sign = "at most" if figure.at_most else "at least"
        reached = "yes" if figure.reached(measured) else "**no**"
        rows.append([figure.name, f"{figure.value(measured):.2f}", f"{sign} {figure.limit:g}", reached])
    return _table(["figure", "measured", "wanted", "reached"], rows)


def throughput(cases: Sequence[Case]) -> str:
    """Medians: requests per second, the ratio to Hitchpost, CPU of the contender and of PostgreSQL."""
    parts = []
    for case in cases:
        rows = []
        for name in CONTENDERS:
            samples = case.samples.get(name)
            if not samples:
                continue
            rate = case.median(name)
            cpu, postgres = (median(getattr(s, what) for s in samples) for what in ("cpu", "postgres_cpu"))
            spread = f"{min(s.rate for s in samples):,.0f} to {max(s.rate for s in samples):,.0f}"
            costs = ["", ""] if name == PGBENCH else [f"{cpu:,.0f}", f"{postgres:,.0f}"]
            rows.append([name, f"{rate:,.0f}", spread, f"{rate / case.median(HITCHPOST):.2f}", *costs])
        header = [case.name, "requests/s", "from … to", "/ Hitchpost", "CPU µs", "PostgreSQL µs"]
        parts.append(_table(header, rows))
    return "\n\n".join(parts)


def settings(cases: Sequence[Case]) -> str:
    """Medians for each setting, and the ratio to the default."""
    rows = [
        [
            name,
            *(f"{case.median(name):,.0f}" for case in cases),
            *(f"{case.median(name) / case.median(DEFAULT):.2f}" for case in cases),
        ]
        for name in SETTINGS
    ]
    header = [*(f"{case.name}, requests/s" for case in cases), *(f"{case.name} / default" for case in cases)]
    return _table(["processes and threads", *header], rows)


def latencies(measured: Measured) -> str:
    """Latency by size, server time by page, memory by calls."""
    rows = [[f"p50, {SIZES[name]:,} rows", f"{median(v):.2f} ms"] for name, v in measured.latencies.items()]
    rows += [[f"server time, page {number:,}", f"{median(v):.2f} ms"] for number, v in measured.pages.items()]
    rows += [
        [f"memory, {calls:,} calls", f"{size / 2**20:.1f} MiB"] for calls, size in measured.memory.items()
    ]
    return _table(["", "median"], rows)


def plans(by_size: Mapping[str, Mapping[str, Plan]]) -> str:
    """What PostgreSQL reads for each list and size, and the plans at the largest."""
    rows = [
        [
            *(name, f"{SIZES[size]:,}", str(p.returned), str(p.scanned), str(p.removed), str(p.buffers)),
            f"{p.milliseconds:.2f}",
        ]
        for size, found in by_size.items()
        for name, p in found.items()
    ]
    rows.sort(key=lambda row: list(by_size["bench_10m"]).index(row[0]))
    header = ["list", "rows in the table", "returned", "rows read", "of them in vain", "buffers", "ms"]
    texts = [f"**{name}**\n\n```text\n{p.text}\n```" for name, p in by_size["bench_10m"].items()]
    return _table(header, rows) + "\n\nThe plans with 10,000,000 rows:\n\n" + "\n\n".join(texts)


def plot(cases: Sequence[Case]) -> None:
    """Requests per second of every contender, a panel for each case."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "hitchpost"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(cases), 1, figsize=(8, 2.3 * len(cases)), layout="constrained")
    for panel, case in zip(panels, cases, strict=True):
        names = [name for name in reversed(CONTENDERS) if name in case.samples and name != PGBENCH]
        rates = [case.median(name) for name in names]
        colours = [STRONG if name.startswith(HITCHPOST) else PALE for name in names]
        bars = panel.barh(names, rates, color=colours)
        panel.bar_label(bars, labels=[f"{rate:,.0f}" for rate in rates], padding=4, fontsize=8)
        panel.set_title(f"{case.name}: requests per second", loc="left", fontsize=10)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.tick_params(bottom=False, labelbottom=False, left=False, labelsize=8)
        panel.margins(x=0.12)
    figure.savefig(PLOT, metadata={"Date": None})


def write(sections: Mapping[str, str]) -> None:
    """Puts each section between its marks in docs/performance.md."""
    page = PAGE.read_text()
    for name, text in sections.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(pattern, lambda m, t=text: f"{m[1]}\n{t}\n\n{m[2]}", page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{PAGE} has no place for {name!r}")
    PAGE.write_text(page)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
