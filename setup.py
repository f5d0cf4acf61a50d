"""Package layout: four import packages from four folders, and `configs/` installed as `fedgen/presets`."""

from setuptools import find_packages, setup

ROOTS = {"fedgen": ".", "fedgen_privacy": "privacy", "fedgen_client": "client", "fedgen_server": "server"}

packages = [name for top, where in ROOTS.items() for name in find_packages(where, include=[top, f"{top}.*"])]

setup(
    packages=[*packages, "fedgen.presets"],
    package_dir={
        **{top: f"{where}/{top}" if where != "." else top for top, where in ROOTS.items()},
        "fedgen.presets": "configs",
    },
    package_data={
        **{top: ["py.typed", "**/templates/**/*"] for top in ROOTS},
        "fedgen.presets": ["*.yaml"],
    },
)
