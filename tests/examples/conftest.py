"""Fixtures of the page for the browser, which two modules visit."""

from space_page import browser, served, space, visit  # noqa: F401
