"""English turns with which a question is put, and that say nothing of what is asked."""

from __future__ import annotations

from .vocabulary import words

SILENT = """
please; kindly; pls; plz; thanks; thank you; thank you very much; thanks a lot; many thanks; thanks in advance
thank you in advance; by any chance;
at all; exactly; precisely; basically; actually; really; generally; in general; generally speaking
btw; fyi; um; uh
"""
"""Turns that are left out wherever they stand."""

SILENT_FIRST = """
quick question; a quick question; one quick question; excuse me; sorry to bother you; by the way; hi there
hello there; hey there; hi team; hello team; hi all; hello all; hi everyone; hello everyone; hey guys; hi guys
i have a question; i have a quick question; just wondering; i want to; i would like to; i wish to; i am trying to
i need to; i am looking to; i am hoping to; i would love to; we want to; we would like to; we need to
help me to; help me; can you help me to; can you help me; could you help me; could you help me to; would you help me
could you please; can you please; would you please; will you please; would you be so kind as to; would you kindly
could you kindly; would it be possible for you to; i would appreciate it if you could; go ahead and; feel free to
i need help to; i need help with; i need some help with; i need you to; i want you to; i would like you to
"""
"""Turns that are left out where a sentence begins."""

GREETINGS = (
    "hello; hi; hey; hiya; good morning; good afternoon; good evening; so; well; ok; okay; and; but; also; then; sorry"
)
"""Words that are left out where a sentence begins with them and a mark or a word of grammar follows, no name: "Hello
Kitty"."""

BEFORE_A_REQUEST = "can you; could you; would you; will you"
REQUESTED = words(
    "tell explain give translate summarise summarize write rewrite describe calculate compare draft recommend suggest "
    "define"
)
"""After "can you" these ask for something to be done; others ask whether it can be."""

BEFORE_A_QUESTION = """
tell me; can you tell me; could you tell me; would you tell me; do you know; do you happen to know; does anyone know
does anybody know; i would like to know; i want to know; i need to know; i wonder; i am wondering; i was wondering
i was just wondering; let me know; can you let me know; could you let me know; can you explain; could you explain
can you explain to me; could you explain to me; explain; explain to me; show me; can you show me; could you show me
any idea; i have no idea; i am not sure; i do not know; wondering; curious; i am curious; remind me; can you say
can someone tell me; can anyone tell me; can somebody tell me; could someone tell me; could anyone tell me
help me understand; can you help me understand; i am trying to find out; i am trying to figure out; can i ask
may i ask; i would like to ask; i want to ask; i wanted to ask; i wanted to know; tell us; do you have any idea
can you advise; could you advise; advise; can you clarify; could you clarify; i am unsure; need to know; want to know
do you know by any chance; just wondering; i would be interested to know; may i know; can i know; could i know
"""
"""Turns that are left out where a question follows; "if" after them is a question too."""
