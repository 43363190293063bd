"""Reports as single HTML files that open from disk without a network, and figures."""

from .figures import write_figures as write_figures
from .page import write_map as write_map
from .page import write_report as write_report

__all__ = ["write_figures", "write_map", "write_report"]
