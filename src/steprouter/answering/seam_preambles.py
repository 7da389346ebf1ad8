"""What models say before they go on, asked not to: "Sure! Continuing from where I left off:"."""

from __future__ import annotations

import re

LONGEST_CHARS = 160
"""A longer sentence is part of the answer."""

SHORTEST_CHARS = 16
"""A beginning shorter than this, without an end of sentence, may still become a preamble in any language."""

COURTESIES = (
    r"sure(?: thing)?|certainly|of course|absolutely|okay|ok|got it|understood|(?:my )?apologies|sorry(?: about that)?|"
    r"claro|por supuesto|entendido|perdón|disculpa|desculpe|certo|com certeza|"
    r"bien sûr|d['’]accord|désolée?|natürlich|selbstverständlich|klar|gerne|entschuldigung|"
    r"certamente|va bene|scusa|natuurlijk|zeker|oczywiście|jasne|desigur|sigur|tabii(?: ki)?|elbette|"
    r"chắc chắn rồi|tất nhiên|tentu(?: saja)?|baik|jistě|samozřejmě|självklart|selvfølgelig|tietysti|természetesen|"
    r"конечно|хорошо|извините|звичайно|добре|разбира се|βεβαίως|φυσικά|"
    r"بالتأكيد|بالطبع|البته|حتما|בוודאי|כמובן|ज़रूर|बिल्कुल|অবশ্যই|நிச்சயமாக|"
    r"แน่นอน|はい|もちろん(?:です)?|承知(?:いたし)?しました|かしこまりました|네|물론(?:입니다|이죠)?|알겠습니다|"
    r"好的|当然(?:可以)?|當然(?:可以)?|没问题|沒問題|抱歉"
)
"""Words that agree or excuse."""

ANNOUNCEMENTS = (
    r"here(?:['’]s| is| are)|continuing|resuming|picking up|to continue|continuation|"
    r"(?:let me|i(?:['’]ll| will)) (?:continue|pick|resume)|the (?:rest|continuation)|"
    r"continú|continuo|continuando|continuação|aquí|aqui|segue|sigo|"
    r"voici|je (?:continue|reprends)|suite|hier (?:ist|folgt|geht)|ich (?:fahre|setze|mache)|fortsetzung|weiter|"
    r"ecco|continuazione|proseguo|riprendo|hier (?:is|volgt)|ik ga|vervolg|oto|kontynuuj|ciąg dalszy|iată|continu|"
    r"devam|kaldığı|tiếp tục|đây là|melanjutkan|berikut|lanjutan|pokračuj|zde je|fortsätt|här (?:är|följer)|fortsætt|"
    r"fortsett|her (?:er|følger)|jatkan|jatkuu|folytat|продолж|вот|продовж|ось|продължав|συνεχίζ|"
    r"إليك|سأكمل|أكمل|المتابعة|متابعة|ادامه|הנה|ממשיך|המשך|यहाँ|जारी|এখানে|தொடர்|"
    r"ต่อจาก|นี่คือ|続き|以下|では|이어서|계속|다음은|继续|接着|以下|下面|繼續|接續"
)
"""How a sentence begins that says what will follow."""

RESUMPTIONS = (
    r"continu|left off|cut off|resum|interrupt|pick(?:ing)? (?:it )?up|the rest|remainder|where (?:it|i) stopped|"
    r"donde (?:me quedé|lo dejé|se quedó)|onde (?:parei|parou)|suite|reprend|arrêté|"
    r"fortsetz|fort\b|weiter|unterbroch|aufgehört|dove (?:avevo|mi ero|si era)|proseg|riprend|vervolg|verder|gebleven|"
    r"kontynu|ciąg dalszy|przerwa|devam|kaldığı|tiếp|bị ngắt|lanjut|terputus|pokračov|pokračuj|fortsätt|"
    r"fortsætt|fortsett|slapp|jatk|folytat|продолж|останов|прерв|оборв|продовж|зупин|продължав|συνέχ|συνεχ|"
    r"أكمل|متابعة|المتابعة|استكمال|توقف|ادامه|המש|ממשיך|जारी|आगे|অব্যাহত|চালিয়ে|தொடர்|"
    r"ต่อ|続|이어|계속|继续|接着|剩余|中断|繼續|接續|剩餘"
)
"""What such a sentence speaks of."""

COURTESY = rf"(?:(?:{COURTESIES})(?!\w)[\s,!.:…—–\u060c\uff0c\u3002\uff01\u3001-]*)"
INSIDE = r"[^\n.!?:\u3002\uff01\uff1f\uff1a]"
SENTENCE = rf"{INSIDE}{{0,100}}?(?:{RESUMPTIONS}){INSIDE}{{0,60}}"
COLON = r"(?:[:\uff1a]\s*|\n\s*)"
FULL_STOP = r"(?:[\u3002\uff01]\s*|(?:\.{1,3}|[!…]+)\s+)"

PREAMBLE = re.compile(
    # "Continuing the work of others. Then" may be the answer; after "Sure," or with a colon it is not.
    rf"\s*(?:{COURTESY}{{1,3}}{SENTENCE}(?:{COLON}|{FULL_STOP})|(?={ANNOUNCEMENTS}){SENTENCE}{COLON})",
    re.IGNORECASE,
)
COURTESY_LINE = re.compile(rf"\s*(?:{COURTESIES})[!.,…\u3002\uff01]*[ \t]*\n\s*", re.IGNORECASE)
UNFINISHED = re.compile(rf"\s*(?:{COURTESY}{{1,3}}|(?={ANNOUNCEMENTS})){INSIDE}*", re.IGNORECASE)


def preamble_chars(text: str) -> int:
    """How much of the beginning of `text` only says that it will go on; 0 where nothing does."""
    found = PREAMBLE.match(text) or COURTESY_LINE.match(text)
    return 0 if found is None else found.end()


def may_become_preamble(text: str) -> bool:
    """Whether a beginning that is none yet could be one once more of it is there."""
    start = text.lstrip()
    if len(start) < SHORTEST_CHARS:
        return "\n" not in start
    return len(start) < LONGEST_CHARS and UNFINISHED.fullmatch(text) is not None
