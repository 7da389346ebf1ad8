"""Secrets that only their label gives away: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `Cookie: …`.

Code is the hard case: `password = get_password()` has a label and no secret. A quoted value is a secret unless it is
a variable, a type or an example word; a bare one must not read as code. Passwords may be words; tokens and keys need
a letter and a digit, or randomness, since "token" has many other meanings to a language model.
"""

from __future__ import annotations

import re

from .kinds import Kind
from .randomness import is_random
from .shape import Shape, Span

WORD_LABELS = r"pass(?:word|wd|phrase|code)|passwort|kennwort|contraseña|(?<=de[ _])passe|senha|(?<=[_-])pass|pwd"
KEY_LABELS = (
    "token|secret|credential|(?:api|secret|access|private|signing|encryption|account|master|auth|client|service|storage"
    "|subscription|sharedaccess)[ _-]?key"
)
BEFORE_VALUE = (
    r"""[0-9]{0,2}+(?![\w-])[\\"'`*]{0,3}+\]?[ \t]{0,8}+(?::[ \t]{0,2}+\w{1,24}+[ \t]{0,2}+(?==))?"""
    r"""(?P<sign>\0=\0\n|:=|=>|->|={1,3}+|:(?!:)|\b(?:is|was)\b)[ \t]{0,8}+[*]{0,2}+[ \t]{0,2}+"""
)
VALUE = (
    r"""(?:(?<=\0\n)(?P<field>[^\0]{1,4096}+)|(?:[fFbBrRuU]{1,2}+(?=["']))?(?:\\{1,3}+["'](?P<escaped>[^"'\\\r\n\0]{1,512}+)"""
    r"""|"(?P<double>(?:[^"\\\r\n\0]|\\.){1,512}+)|'(?P<single>(?:[^'\\\r\n\0]|\\.){1,512}+)|`(?P<ticks>[^`\r\n\0]{1,512}+))"""
    r"""|(?P<bare>[^\s"'`\\,;()\[\]{}<>|\0]{4,512}+))"""
)
ASSIGNMENT = re.compile(rf"(?P<label>(?i:(?P<password>{WORD_LABELS})|{KEY_LABELS})){BEFORE_VALUE}{VALUE}")
IN_QUERY = re.compile(
    rf"(?P<label>(?i:(?P<password>{WORD_LABELS})|{KEY_LABELS}|sig(?:nature)?))=(?P<query>[^&\s\"'\#<>\0]{{4,1024}}+)"
)
OPTION = re.compile(
    r"""(?P<label>--(?:[A-Za-z]{1,16}+-){0,3}+(?:(?P<password>pass(?:word|wd|phrase)?)|token|secret|key|credential))"""
    r"""[ ]{1,4}+["']?(?P<option>[^\s"'\0-][^\s"'\0]{3,511}+)"""
)
AUTHORIZATION = re.compile(
    r"""(?i:authorization)[\\"'`*]{0,3}+\]?[ \t]{0,4}+(?:\0=\0\n|[:=,]{1,2}+)[ \t]{0,4}+[fFbBrR]?[\\"'`]{0,3}+"""
    r"""(?:(?i:bearer|basic|token|digest|apikey|negotiate|bot)[ \t]{1,4}+)?(?P<value>[^\s"'`\\,;<>{}$\0]{8,4096}+)"""
)
BEARER = re.compile(r"(?<!\w)(?i:bearer)[ ](?P<value>[A-Za-z0-9._~+/-]{16,4096}+={0,2}+)")
COOKIE = re.compile(
    r"""(?i:(?<![A-Za-z])(?:set-)?cookie)[\\"'`]{0,3}+\]?[ \t]{0,4}+(?:\0=\0\n|[:=]{1,2}+)[ \t]{0,4}+[\\"'`]{0,3}+"""
    r"""(?P<value>[\w.%!-]{1,64}+=[^\s"'\\;,\0]{4,4096}+(?:;[ ]?[^\r\n"'\\;\0]{1,1024}+){0,64}+)"""
)

VARIABLE = re.compile(
    r"""(?x)
      \$\{? \w{1,64} \}? \Z | \$[{(] | %[({]? \w | [{<\[] | [*•]{2} | \*[A-Za-z] | [xX]{3,} \Z | \.{2,} | … | -{1,8} \Z
    | (?: os | process | sys | self | this | settings | config | cfg | env | environ | args | opts | options | params
        | req | request | ctx | context | secrets | vars? | local | data | module | vault | st | ENV | import )[.(\[]
    | arn: | [a-z]{2,12}:// | (?: vault | file | sm | env ): | projects/ | (?: ~ | \.{1,2} )?/[\w.-]{1,64}(?: /|\Z)
    | ![A-Za-z]{2,12}(?: [ ]|\Z)
    """
)
"""The beginning of what refers to a secret kept elsewhere, or hides one."""

EXAMPLE_WORDS = frozenset(
    (  # noqa: SIM905 - a list has a line for each word
        "your my the a an some any new old this that user users db database admin app example sample test testing "
        "dummy fake mock placeholder redacted hidden masked removed replace replaceme insert enter change "
        "changeme me here api key keys token tokens secret secrets password passwd passphrase passcode pwd pass "
        "passwort kennwort contraseña senha value string str text bytes int integer number bool boolean object "
        "optional required none null nil undefined true false yes no not needed empty unset invalid valid "
        "incorrect wrong missing expired unknown na n type field input name id bearer basic auth access refresh "
        "client confirm confirmation current repeat with in file prompt env environment secretstr label default"
    ).split()
)
"""A value made of these words alone is a placeholder, a type or a form's text."""

NOT_SECRET = re.compile(
    r"(?i)(?:next|page|prev|previous|continuation|sync|cancellation|stop|start|end|pad|eos|bos|unk|mask|sep|cls|first|last"
    r"|special|max|min|num|per|input|output|total|word|sub|public|partition|sort|primary|foreign|cache|forgot|reset|show"
    r"|idempotency)[ _-]?\Z"
)
"""What makes another thing of the word after it: a page token, a stop token, a sort key."""


def label_of(match: re.Match[str]) -> str:
    """The whole name whose end was matched, such as `OPENAI_API_KEY`."""
    start = match.start("label")
    head = match.string[max(0, start - 40) : start]
    prefix = re.search(r"[\w-]{0,40}\Z", head)
    return (prefix[0] if prefix else "") + match["label"]


def is_example(value: str) -> bool:
    """Made only of words that stand in examples, types and forms."""
    words = re.split(r"[\W_]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", value).lower())
    return all(word in EXAMPLE_WORDS for word in words if word)


def is_strong(value: str) -> bool:
    """Eight or more characters with a letter and a digit, or random to the eye; no path of names."""
    if len(value) < 8 or re.fullmatch(r"[A-Za-z_]{1,64}(?:\.[A-Za-z_]\w{0,64})+(?:\[\w*\])?", value):
        return False
    mixed = re.search("[0-9]", value) and re.search("[A-Za-z]", value)
    return bool(mixed) or is_random(value)


def is_code(match: re.Match[str], label: str) -> bool:
    """A bare value that reads as code: a call, an attribute, a name on the right of ` = ` or among arguments."""
    value, (start, end) = match["bare"], match.span("bare")
    following = match.string[end : end + 1]
    if following and following in "([":
        return True
    if re.fullmatch(r"[A-Za-z_]\w{0,64}(?:\.[A-Za-z_]\w{0,64})+", value):
        return True
    spaced = (
        match["sign"].strip(":") in {"=", "==", "===", ""} and "=" in match["sign"] and match.string[start - 1] == " "
    )
    is_argument = match["sign"] == "=" and following in {",", ")"} and not label.isupper()
    return (spaced or is_argument) and re.fullmatch(r"[A-Za-z_]+[0-9]{0,2}", value) is not None


def assignment_span(match: re.Match[str]) -> Span | None:
    """The value of a labelled secret; `None` if it is a variable, an example, prose or code."""
    style = match.lastgroup or ""
    value, (start, end) = match[style], match.span(style)
    label = label_of(match)
    if NOT_SECRET.search(label[: -len(match["label"])]) or VARIABLE.match(value) or is_example(value):
        return None
    if match["label"].lower() == "pwd" and "/" in value:
        return None  # the working directory of a shell
    if style == "bare":
        if in_query(match):
            return None
        kept = re.split(r"&\w{1,40}=", value)[0].rstrip(".:!?" if match["sign"] in {"is", "was"} else ".:")
        return (start, start + len(kept)) if bare_is_secret(match, label, kept) else None
    if match["password"] is None:
        return (start, end) if is_strong(value) and not re.search(r"\s", value) else None
    is_prose = re.search(r"\s", value.strip()) and "phrase" not in label.lower()
    return (start, end) if len(value) >= 4 and not is_prose else None


def bare_is_secret(match: re.Match[str], label: str, value: str) -> bool:
    """Whether an unquoted value is one; a word will do only in the style of environment files."""
    if is_code(match, label) or len(value) < 4:
        return False
    if match["password"] is None:
        return is_strong(value)
    in_environment = label.isupper() and match["sign"] == "=" and match.string[match.start("bare") - 1] == "="
    mixed = re.search(r"[0-9!@#$%^&*?~+=]", value) and re.search(r"[^\W\d_]", value)
    return in_environment or (len(value) >= 6 and bool(mixed))


def in_query(match: re.Match[str]) -> bool:
    """Whether the label is a parameter of a URL or form, so that `&` ends its value."""
    start = match.end("label") - len(label_of(match))
    return match.string[start - 1 : start] in {"?", "&"}


def query_span(match: re.Match[str]) -> Span | None:
    """The value of a URL's parameter, unless it is a variable or an example."""
    return argument_span(match) if in_query(match) else None


def argument_span(match: re.Match[str]) -> Span | None:
    """The value of a command's option, unless it is a variable or an example."""
    style = match.lastgroup or ""
    value = match[style]
    other = NOT_SECRET.search(label_of(match)[: -len(match["label"])])
    if other or VARIABLE.match(value) or is_example(value):
        return None
    return match.span(style) if match["password"] or is_strong(value) else None


def header_span(match: re.Match[str]) -> Span | None:
    """The credentials of a header: they have a digit or are too long for a word."""
    value = match["value"]
    is_secret = re.search("[0-9]", value) or len(value) >= 24
    is_name = (
        re.fullmatch(r"[A-Za-z_]\w{0,64}(?:\.[A-Za-z_]\w{0,64})+", value) or match.string[match.end() :][:1] == "("
    )
    return match.span("value") if is_secret and not is_name and not VARIABLE.match(value) else None


WORDS = ("pass", "kennwort", "contraseña", "senha", "pwd", "token", "secret", "credential", "key")

ASSIGNMENT_SHAPES = (
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=ASSIGNMENT, extent=assignment_span, hints=WORDS),
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=IN_QUERY, extent=query_span, hints=("=",)),
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=OPTION, extent=argument_span, hints=("--",)),
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=AUTHORIZATION, extent=header_span, hints=("authorization",)),
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=BEARER, extent=header_span, hints=("bearer",)),
    Shape(kind=Kind.SECRET_ASSIGNMENT, pattern=COOKIE, hints=("cookie",)),
)
"""How labelled secrets are written."""
