"""English words and turns that may stand for one another in any question, and turns that say nothing.

Only what changes no answer: "buy" and "purchase", not "remove" and "delete" (a member is removed from a group and
lives on), not "cancel" and "terminate" (one has no notice period), not "app" and "application" (one is for a job).
"""

from __future__ import annotations

from .vocabulary import words

WORDS = """
purchase = buy; commence = start; begin = start; finalise = finish; finalize = finish; assist = help; obtain = get
receive = get; modify = change; alter = change; choose = select; pick = select; permit = allow; prohibit = forbid
ban = forbid; require = need; telephone = phone; cellphone = mobile; smartphone = mobile; automobile = car
film = movie; photograph = photo; attorney = lawyer; quick = fast; quickly = fast; rapidly = fast; large = big
biggest = largest; simplest = easiest; physician = doctor; journey = trip; frequently = often; maximum = max
maximal = max; minimum = min; minimal = min; information = info; documentation = doc; database = db
repository = repo; javascript = js; typescript = ts; kubernetes = k8s; postgresql = postgres; mum = mother
mom = mother; dad = father; kid = child; correctly = properly; solve = fix; repair = fix; mend = fix; occur = happen
transform = convert; till = until; acct = account; pwd = password; passwd = password; television = tv
baggage = luggage; fetch = get; erase = delete; reimburse = refund; reimbursement = refund; configure = set-up
additional = extra; occasionally = sometimes; immediately = at-once; instantly = at-once; entire = whole; fall = fall
colour = color; centre = center; cheque = check; licence = license; programme = program; fulfil = fulfill
enrol = enroll; catalogue = catalog; grey = gray; tyre = tire; jewellery = jewelry; aluminium = aluminum
behaviour = behavior; favourite = favorite; flavour = flavor; neighbour = neighbor; labour = labor; honour = honor
organise = organize; analyze = analyse; authorize = authorise; apologize = apologise; initialize = initialise
memorize = memorise; optimize = optimise; practice = practise; realize = realise; recognize = recognise
summarize = summarise; organization = organisation; authorization = authorisation; program = programme
"""
"""A word = what stands for it, both without endings."""

PHRASES = """
cannot = can not
cant = can not
wont = will not
dont = do not
doesnt = do not
didnt = did not
isnt = is not
arent = are not
wasnt = was not
im = i am
ive = i have
whats = what is
hows = how is
wheres = where is
whos = who is
in order to = to
so as to = to
due to = i:because_of
as a result of = i:because_of
because of = i:because_of
instead of = r:instead_of
rather than = r:instead_of
in case of = i:if
in case = i:if
in the event of = i:if
in the event that = i:if
provided that = i:if
assuming that = i:if
no longer = not anymore
a few = s:a_few
a little = s:a_little
the most = c:the_most
not any more = not anymore
any more = anymore
no one = s:nobody
at least = c:at_least
no less than = c:at_least
a minimum of = c:at_least
at most = c:at_most
no more than = c:at_most
a maximum of = c:at_most
up to = c:at_most
as well as = and
along with = and
together with = and
with regard to = about
with respect to = about
regarding = about
concerning = about
using = with
via = with
into = to
onto = to
at the moment = now
right now = now
at present = now
log in = w:login
log into = w:login to
log on = w:login
logging in = w:login
logging into = w:login to
sign in = w:login
sign into = w:login to
signing in = w:login
log out = w:logout
sign out = w:logout
log off = w:logout
sign up = w:sign-up
signing up = w:sign-up
set up = w:set-up
setting up = w:set-up
setup = w:set-up
check in = w:check-in
checking in = w:check-in
turn on = w:enable
turning on = w:enable
switch on = w:enable
switching on = w:enable
turn off = w:disable
turning off = w:disable
switch off = w:disable
switching off = w:disable
fill in = w:fill-in
fill out = w:fill-in
carry out = w:perform
pay back = w:repay
send back = w:return
give back = w:return
bring back = w:return
take care of = w:look-after
look after = w:look-after
get in touch with = w:contact
be allowed to = m:can
am i allowed to = can i
are we allowed to = can we
are you allowed to = can you
am i permitted to = can i
am i able to = can i
are we able to = can we
are you able to = can you
is it possible to = can i
is it possible for me to = can i
is it possible for us to = can we
is it possible for you to = can you
is there a way to = can i
is there any way to = can i
is there a way for me to = can i
is there any way for me to = can i
is there some way to = can i
is there a possibility to = can i
is there an option to = can i
could i = can i
could i be = m:could i be
could i have = m:could i have
may i = can i
could we = can we
may we = can we
can one = can i
unable to = not m:can
not able to = not m:can
not allowed to = not m:can
not possible to = not m:can
fail to = not
fails to = not
failed to = not t:past
have to = m:must
has to = m:must
having to = m:must
had to = m:must t:past
need to = m:must
needs to = m:must
needed to = m:must t:past
am i required to = do i m:must
are we required to = do we m:must
is it necessary to = do i m:must
is it necessary for me to = do i m:must
is it required to = do i m:must
is it mandatory to = do i m:must
is it obligatory to = do i m:must
am i obliged to = do i m:must
must i = do i m:must
ought to = m:should
supposed to = m:should
going to = t:future
gonna = t:future
used to = t:used
wanna = want to
gotta = m:must
what do i have to do to = how to
what do i need to do to = how to
what must i do to = how to
what can i do to = how to
what do i do to = how to
what are the steps to = how to
what are the steps for = how to
what steps do i need to take to = how to
what steps do i take to = how to
what steps do i have to take to = how to
what is the way to = how to
what is a way to = how to
what are ways to = how to
what are the ways to = how to
what are some ways to = how to
what are some of the ways to = how to
what is the process to = how to
what is the process for = how to
what is the procedure to = how to
what is the procedure for = how to
what is the right way to = how to
what is the correct way to = how to
what is the proper way to = how to
in what way = how
in which way = how
how would i go about = how to
how do i go about = how to
how can i go about = how to
how am i able to = how to
how is it possible to = how to
how does one = how to
how do people = how to
the way to = how to
the steps to = how to
how come = why
what is the reason that = why
what is the reason why = why
what are the reasons why = why
for what reason = why
for which reason = why
at what time = when
what time = when
on what date = when
on which date = when
on what day = when
in which place = where
which one = which
which person = who
whom = who
what kind of = q:what_kind
what kinds of = q:what_kind
what sort of = q:what_kind
what sorts of = q:what_kind
what type of = q:what_kind
what types of = q:what_kind
which kind of = q:what_kind
which type of = q:what_kind
which types of = q:what_kind
what are some of the = what are the
what are some = what are the
what are a few = what are the
what are the different = what are the
what are the various = what are the
what is meant by = q:what_is
define = q:what_is
what is the meaning of = q:what_is
what is the definition of = q:what_is
how much is = q:cost
how much are = q:cost
what is the price of = q:cost
what is the cost of = q:cost
what is the price for = q:cost
what is the cost for = q:cost
how long does it take to = q:how_long
how much time does it take to = q:how_long
how long will it take to = q:how_long t:future
for how long = how long
how frequently = how often
what about = q:what_about
how about = q:what_about
what if = q:what_if
what happens if = q:what_if
what will happen if = q:what_if
what would happen if = q:what_if
what happens when = q:what_if
what do i do if = q:what_do_if
what should i do if = q:what_do_if
what can i do if = q:what_do_if
what do i do when = q:what_do_if
what should i do when = q:what_do_if
is there a = is s:there
is there an = is s:there
is there any = is s:there
are there any = are s:there
do you have any = do you have
difference between = w:differ
differences between = w:differ
united states of america = w:usa
united states = w:usa
united kingdom = w:uk
new york city = w:nyc
cell phone = mobile
mobile phone = mobile
pin code = pin
pin number = pin
e mail = email
wi fi = wifi
machine learning = w:ml
artificial intelligence = w:ai
operating system = w:os
command line = w:cli
"""
"""A turn = what is read instead: words, or items."""

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
    "tell explain show give translate summarise summarize write rewrite convert list describe calculate compare draft "
    "generate create recommend suggest define compute find"
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
