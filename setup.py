"""The package's build script; what it builds is described in pyproject.toml."""

from setuptools import setup

setup()
