"""How does a person see runs? As one HTML file that opens from disk, without a network, on a screen of any size."""

from __future__ import annotations

from .figures import write_figures as write_figures
from .page import indicators_html as indicators_html
from .page import write_report as write_report

__all__ = ["indicators_html", "write_figures", "write_report"]
