"""Write docs/policies.md from the docstrings of the policy library: ``python docs/policies.py``.

The effects of policies in Bologna are described in ``policies_bologna.md.in``, whose figures a benchmark prints.
"""

import inspect
from pathlib import Path

from cosim.registry.parameters import Parameters
from cosim.scenarios.policies import LIBRARY

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Policies

A policy changes a city while it is built; the simulators know nothing about policies. Several are applied in the given
order:

```python
from cosim.scenarios import eixample
from cosim.scenarios.policies import EvShare, HeatPumps, Superblocks

plan = eixample.build(policies=[EvShare(0.4), HeatPumps(0.3), Superblocks()])
```

```sh
cosim run eixample --policy EvShare:share=0.4 --policy HeatPumps:share=0.3 --policy Superblocks
```

Invalid combinations are refused with the reason: two of a kind, two that set the same thing, one that finds nothing to
change. Your own policy is a subclass of `cosim.scenarios.policies.Policy`; the command line takes it as `FILE.py:Class`
or `module:Class`, or by name if it is registered in the entry point group `cosim.policies`.

A share is a quota, exact to one: of 96 roofs, 0.5 are 48. Each building or car has a random number by its key and the
seed, and those with the lowest are chosen, so that a larger share keeps the elements of a smaller one. What concerns
single trips is a chance instead, and called so: each trip is drawn for itself.

This page is generated from the docstrings by `python docs/policies.py`.
"""

TAIL = PAGE.with_name("policies_bologna.md.in").read_text(encoding="utf-8")


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for sector, policies in LIBRARY.items():
        parts.append(f"## {sector}\n")
        for policy in policies:
            text = inspect.cleandoc(policy.__doc__ or "").partition("Parameters\n----------")[0].strip()
            parts.append(f"### {policy.__name__}\n\n{text}\n")
            rows = Parameters(policy.__name__, policy).rows()
            if rows:
                parts.append("| parameter | type | default | meaning |\n|---|---|---|---|")
                parts += [
                    f"| `{name}` | {_cell(kind)} | {_cell(default)} | {_cell(meaning)} |"
                    for name, kind, default, meaning in rows
                ]
                parts.append("")
    return "\n".join([*parts, TAIL])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
