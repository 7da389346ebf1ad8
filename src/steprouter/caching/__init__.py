"""Answers that may be given again: what must be the same, and how sure that is."""

from .langcache import LangCacheService
from .policy import AnswerCache

__all__ = ["AnswerCache", "LangCacheService"]
