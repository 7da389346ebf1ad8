"""Credentials that show what they are: key blocks, JSON web tokens, vendors' prefixes, URLs with a password."""

from __future__ import annotations

import re

from .kinds import Kind
from .shape import Shape, Span, value_span

VENDOR_KEYS = (
    r"sk-[A-Za-z0-9_-]{20,300}+",  # OpenAI (sk-, sk-proj-, sk-svcacct-), Anthropic (sk-ant-), OpenRouter, DeepSeek
    r"gsk_[A-Za-z0-9]{40,80}+",  # Groq
    r"xai-[A-Za-z0-9]{40,120}+",
    r"pplx-[A-Za-z0-9]{40,80}+",  # Perplexity
    r"r8_[A-Za-z0-9]{30,60}+",  # Replicate
    r"hf_[A-Za-z0-9]{30,60}+",  # Hugging Face
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,80}+",  # LangSmith
    r"tvly-[A-Za-z0-9-]{20,80}+",  # Tavily
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",  # AWS
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,500}+",  # Google OAuth
    r"GOCSPX-[A-Za-z0-9_-]{24,40}+",
    r"gh[pousr]_[A-Za-z0-9]{36,255}+",  # GitHub
    r"github_pat_[A-Za-z0-9_]{50,255}+",
    r"gl(?:pat|dt|rt|ptt|ft)-[A-Za-z0-9_.-]{20,300}+",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,255}+",  # Slack
    r"xapp-[0-9]-[A-Za-z0-9-]{20,255}+",
    r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,255}+",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,100}+",
    r"SG\.[A-Za-z0-9_-]{16,32}+\.[A-Za-z0-9_-]{32,64}+",  # SendGrid
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,400}+",
    r"dapi[0-9a-f]{32}",  # Databricks
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}",  # Shopify
    r"hvs\.[A-Za-z0-9_-]{24,200}+",  # HashiCorp Vault
    r"lin_api_[A-Za-z0-9]{32,64}+",  # Linear
    r"ntn_[A-Za-z0-9]{40,60}+",  # Notion
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    r"[0-9]{8,10}+:AA[A-Za-z0-9_-]{33}",  # Telegram bots
)
"""Prefixes as the vendors publish them; the lengths are generous, since vendors change them without notice."""

API_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(VENDOR_KEYS)})")
JWT = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}+\."
    r"(?:eyJ[A-Za-z0-9_-]{8,8192}+(?:\.[A-Za-z0-9_-]{0,2048}+)?|(?:[A-Za-z0-9_-]{0,8192}+\.){3}[A-Za-z0-9_-]{1,2048}+)"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12}+ (?<!PRIVATE )){0,4}+PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?P<whole>(?:[^\0-]|-(?!-)){0,20000}+-----END [A-Z0-9 ]{3,40}+-----)"
    r"|(?P<cut>(?:(?:\\[nrt]|[\s\\\"'+,>|\#]){0,64}+(?:[A-Za-z0-9/+=]{16,20000}+)){1,400}+"
    r"(?:(?:\\[nrt]|[\s\\\"'+,>|\#]){0,64}+[A-Za-z0-9/+=]{1,15}+(?![\w ]))?))"
)
URL_CREDENTIALS = re.compile(
    r"://(?P<value>(?P<user>[^\s/:@?\#\"'<>\0]{0,128}+)(?::(?P<password>[^\s/@\"'\0]{1,256}+(?:@[^\s/@\"'?\#\0]{1,256}+(?=@)){0,4}+))?)@"
)
VARIABLE = re.compile(
    r"\$\{?\w{1,64}\}?|\$?\{\{?[^{}]{0,64}\}?\}|%\w|<[^<>]{1,64}>|\[[^\[\]]{1,64}\]|\*+|x{3,}|X{3,}|\.{3,}|…"
)


def api_key_span(match: re.Match[str]) -> Span | None:
    """The key, unless it has no digit, like the class names `sk-estimator-doc-link` of scikit-learn's pages."""
    return match.span() if re.search("[0-9]", match[0][3:]) else None


def key_block_span(match: re.Match[str]) -> Span | None:
    """The block, unless it has no body: code that looks for the header names it too."""
    return match.span() if match["cut"] or re.search("[A-Za-z0-9/+=]{16}", match["whole"]) else None


def url_span(match: re.Match[str]) -> Span | None:
    """User and password, unless the password is a variable; a user alone only if it is a token by its look."""
    password = match["password"]
    if password is None:
        is_token = (
            len(match["user"]) >= 16 and re.search("[0-9]", match["user"]) and re.search("[A-Za-z]", match["user"])
        )
        return value_span(match) if is_token else None
    return None if VARIABLE.fullmatch(password) else value_span(match)


CREDENTIAL_SHAPES = (
    Shape(kind=Kind.PRIVATE_KEY, pattern=PRIVATE_KEY, extent=key_block_span, hints=("private key",)),
    Shape(kind=Kind.JWT, pattern=JWT, hints=("eyj",)),
    Shape(kind=Kind.API_KEY, pattern=API_KEY, extent=api_key_span),
    Shape(kind=Kind.URL_CREDENTIALS, pattern=URL_CREDENTIALS, extent=url_span, hints=("://",)),
)
"""How credentials are written that need no label."""
