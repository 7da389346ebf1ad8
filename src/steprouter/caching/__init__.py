"""Answers that may be given again: what must be the same, and how sure that is."""

from .policy import AnswerCache

__all__ = ["AnswerCache"]
