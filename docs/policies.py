"""Write docs/policies.md from the docstrings of the policy library: ``python docs/policies.py``.

What the policies do in Bologna stands in ``policies_bologna.md.in``, whose figures a benchmark prints.
"""

import inspect
from pathlib import Path

from cosim.registry import Parameters
from cosim.scenarios.policies import LIBRARY

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Policies

A policy changes a city while it is built; nothing in the simulators knows of it. Several are applied in the order
given:

```python
from cosim.scenarios import eixample
from cosim.scenarios.policies import EvShare, HeatPumps, Superblocks

plan = eixample.build(policies=[EvShare(0.4), HeatPumps(0.3), Superblocks()])
```

```sh
cosim run eixample --policy EvShare:share=0.4 --policy HeatPumps:share=0.3 --policy Superblocks
```

What cannot be combined is refused with the reason: two of a kind, two that decide the same, one that finds nothing to
change. A policy of one's own is a subclass of `cosim.scenarios.policy.Policy`, registered by the entry point group
`cosim.policies` for the command line.

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
                parts += [f"| `{name}` | {_cell(kind)} | {_cell(default)} | {_cell(meaning)} |"
                          for name, kind, default, meaning in rows]  # fmt: skip
                parts.append("")
    return "\n".join([*parts, TAIL])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
