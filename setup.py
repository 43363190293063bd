"""Compile the numerics of ``cosim.core``; everything else is in pyproject.toml."""

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

# -ffp-contract=off: a fused multiply-add rounds once instead of twice, so results would depend on the processor.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wno-unreachable-code"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                "cosim.core._zones",
                ["core/_zones.pyx"],
                include_dirs=[np.get_include(), "core"],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
                extra_compile_args=FLAGS,
            )
        ],
        language_level=3,
        include_path=["core"],
    )
)
