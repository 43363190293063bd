"""Named, typed changes to a city or a scenario; each is applied while the scenario is built.

A policy is a class of a module of this package, or one that another package registers in the entry point group
``cosim.policies``; no other list for the command line or the documentation names it.
"""

from . import buses, carbon, costs, energy, environment, mobility, modes, planning, pricing
from .buses import *  # noqa: F403
from .carbon import *  # noqa: F403
from .costs import *  # noqa: F403
from .energy import *  # noqa: F403
from .environment import *  # noqa: F403
from .library import library
from .mobility import *  # noqa: F403
from .modes import *  # noqa: F403
from .planning import *  # noqa: F403
from .policy import Policy as Policy
from .pricing import *  # noqa: F403

LIBRARY = library()
"""The policies by sector."""

__all__ = ["LIBRARY", "Policy"]
__all__ += buses.__all__
__all__ += carbon.__all__
__all__ += costs.__all__
__all__ += energy.__all__
__all__ += environment.__all__
__all__ += mobility.__all__
__all__ += modes.__all__
__all__ += planning.__all__
__all__ += pricing.__all__
