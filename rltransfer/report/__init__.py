"""What a comparison with scratch showed: verdicts, tables, plots and a page to pass on.

The input is plain data, so results of any origin can be reported: learning curves in a
:class:`Comparison`, one per source and target. :func:`summarize` turns it into numbers and a
verdict, :func:`overall` sums up many; :func:`table`, :func:`plot`, :func:`plot_pairs`,
:func:`html`, :func:`pages`, :func:`gains_markdown`, :func:`rows_csv` and :func:`overall_csv` show
them.
"""

from __future__ import annotations

from rltransfer.report.blocks import Block, blocks
from rltransfer.report.compare import summarize
from rltransfer.report.data import LONGER, SCRATCH, Arm, Comparison, Curve, Kind
from rltransfer.report.exports import gains_markdown, overall_csv, rows_csv
from rltransfer.report.forest import plot_pairs
from rltransfer.report.knowledge import KNOWLEDGE_CONTROLS
from rltransfer.report.learning_curves import plot
from rltransfer.report.overall import Overall, RecipeOverall, overall
from rltransfer.report.overview import Overview, overview
from rltransfer.report.page import html, pages
from rltransfer.report.summary import (
    Estimate,
    Knowledge,
    Row,
    Summary,
    ThresholdTime,
    Verdict,
    verdict,
)
from rltransfer.report.tables import table
from rltransfer.report.wording import headline, sentence

__all__ = [
    "KNOWLEDGE_CONTROLS",
    "LONGER",
    "SCRATCH",
    "Arm",
    "Block",
    "Comparison",
    "Curve",
    "Estimate",
    "Kind",
    "Knowledge",
    "Overall",
    "Overview",
    "RecipeOverall",
    "Row",
    "Summary",
    "ThresholdTime",
    "Verdict",
    "blocks",
    "gains_markdown",
    "headline",
    "html",
    "overall",
    "overall_csv",
    "overview",
    "pages",
    "plot",
    "plot_pairs",
    "rows_csv",
    "sentence",
    "summarize",
    "table",
    "verdict",
]
