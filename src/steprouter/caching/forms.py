"""Forms of English words: which verb a form belongs to and what it says of time, and nouns without their plural."""

from __future__ import annotations

from .vocabulary import words

VERBS = """
accept access accrue achieve acknowledge activate add address admit advise afford agree aim allocate allow alter
amend analyse announce answer apologise appeal appear apply appoint approve argue arrange arrive ask assemble assess
assign assist attach attend authorise avoid bake balance become begin behave belong bill block boil book borrow
break breathe bring budget build buy calculate call cancel cap card carry cash cast catch cause change charge check
choose claim clarify clean climb close code collect combine come comment commit communicate compare compile complain
complete compress compute conclude configure confirm connect consider consult consume contain contract contribute
control convert cook cope copy correct cost count cover crash create credit cure cut damage date deal debit debug
decide declare decline decrease deduct define delay delegate delete deliver demand deny depend deploy deposit
describe deserve design destroy detect determine develop diagnose die differ disable disagree disappear discard
disclose disconnect discover discuss dismiss dispute dose download draft draw drink drive drop earn eat edit
eliminate email embed emigrate employ enable encourage encrypt end engage enhance enjoy ensure enter erase escalate
establish estimate evaluate examine exceed exchange exclude execute exempt exercise exhaust exist exit expand expect
experience expire explain explore export expose extend extract face fail fall fee feel fetch file fill filter find
fine finish fire fit fix flag fly follow forbid forget format forward fuel function gain generate get give go grant
grow guarantee guess guide handle happen hate heal hear help hide hire hold host house identify ignore immigrate
implement import improve include increase index influence inform inherit initialise inject insert inspect install
instruct insure integrate interact interest interpret introduce invest invite invoke involve issue iterate join
judge keep kill know label land last laugh launch lead learn leave lend let license lie limit line link list listen
live load loan lock log lose lower mail maintain make manage map mark market matter mean measure meet memorise
mention merge message migrate mix model modify monitor mortgage mount move name need negotiate note notify obey
object obtain occur offer offset omit open operate optimise order overcome overwrite own pack page park parse
participate pass paste patch pause pay perform permit persist pet phone photo pick picture place plan plant play
point post postpone practise predict prefer prepare prescribe preserve prevent price print process produce profit
program prohibit project promise promote pronounce propose protect prove provide publish pull purchase pursue push
put qualify query question quit raise rank rate reach react read realise rebase reboot receive recognise recommend
reconnect record recover recruit redeem redirect reduce refer reflect refresh refund refuse regain regenerate
register reimburse reject relate relax release rely remain remember remind remove rename renew rent reopen repair
repay repeat replace reply report represent request require reschedule rescue research reserve reset resign resolve
respond restart restore restrict retain retire retrieve return reuse revert review revoke reward rewrite rise risk
root rotate route rule run sample save say scan schedule score screen search secure see seem select sell send
separate serve settle share ship shop shorten show shower shrink sign simplify sing sit skip sleep slice smoke solve
sort sound source space speak specify speed spell spend spill split staff stamp stand start state stay steal step
stock stop store stream strengthen stretch strike structure study style submit subscribe subtract succeed sue suffer
suggest summarise supply support suppose surface surrender survive suspend swallow swap swim swing switch tag take
talk target taste tax teach tell terminate test text think throw tighten time tip title tour trace track trade train
transfer translate transmit travel treat trigger trip truncate trust try turn type unblock understand undo uninstall
unlock unsubscribe unzip update upgrade upload use validate value vary verify vet view visit voice volume vote wage
wait wake walk want warn wash waste watch water wear weigh weight win wipe wish withdraw withhold work worry write
zip zone
"""
"""In their base form, those too that are nouns as well."""

DOUBLED = words(
    "admit begin cancel chat commit cut debit debug defer drop equal fit format forbid forget get infer label log "
    "occur omit pat permit plan prefer program put quit refer regret rebut run ship shop shut sit skip slip split spot "
    "stop strip submit swap swim tip transfer transmit trap travel trim unzip upset win wrap zip cap map tag flag model"
)
"""Verbs that double their last letter, at least in one spelling."""

IRREGULAR = """
become became become; begin began begun; break broke broken; bring brought brought; build built built;
buy bought bought; catch caught caught; choose chose chosen; come came come; deal dealt dealt; draw drew drawn;
drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen; feel felt felt; find found found;
fly flew flown; forbid forbade forbidden; forget forgot forgotten; get got gotten; give gave given; go went gone;
grow grew grown; hear heard heard; hide hid hidden; hold held held; keep kept kept; know knew known; lead led led;
leave left left; lend lent lent; lose lost lost; make made made; mean meant meant; meet met met; overcome overcame
overcome; overwrite overwrote overwritten; pay paid paid; repay repaid repaid; rewrite rewrote rewritten; rise rose
risen; run ran run; say said said; see saw seen; sell sold sold; send sent sent; sing sang sung; sit sat sat;
sleep slept slept; speak spoke spoken; spend spent spent; stand stood stood; steal stole stolen; swim swam swum;
take took taken; teach taught taught; tell told told; think thought thought; throw threw thrown; understand understood
understood; undo undid undone; wake woke woken; wear wore worn; win won won; withdraw withdrew withdrawn; withhold
withheld withheld; write wrote written; learn learnt learnt; spill spilt spilt; prove proved proven; show showed shown
"""

NOUNS_IN_ING = words(
    "building meeting training setting saving being during holding listing meaning reading rating spelling swimming "
    "cleaning cooking finding filling feeling opening hearing understanding landing housing lining wording"
)
"""Words that look like forms of a verb and mean something of their own."""

WHOLE_IN_S = words(
    "news series species means customs goods savings glasses arms terms damages windows teams slides sheets notes "
    "pandas bios https dns sms gps css aws ios pros mars lens gas bus yes always perhaps besides towards afterwards "
    "sometimes overseas abroad whereas thus plus versus minus kubernetes redis postgres jenkins physics mathematics "
    "politics economics ethics statistics headquarters diabetes rabies measles herpes texas paris wales athens "
    "brussels netherlands philippines states nations emirates james charles jones williams times contents spirits "
    "airpods trousers scissors analytics logistics robotics genetics athletics graphics basics"
)
PLURALS = {
    "children": "child",
    "men": "man",
    "women": "woman",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "lives": "life",
    "wives": "wife",
    "knives": "knife",
    "leaves": "leave",
    "indices": "index",
    "criteria": "criterion",
    "analyses": "analysis",
    "diagnoses": "diagnosis",
    "movies": "movie",
    "cookies": "cookie",
    "calories": "calorie",
    "ties": "tie",
    "taxes": "tax",
    "buses": "bus",
    "viruses": "virus",
    "bonuses": "bonus",
    "statuses": "status",
    "caches": "cache",
    "aches": "ache",
}
SHORTEST_PLURAL = 4

Form = tuple[str, str]
"""The base form, and what the form says: `base`, `s`, `ing`, `past`."""


def inflected(verb: str) -> dict[str, Form]:
    """The regular forms of a verb."""
    stems = {verb} if verb not in DOUBLED else {verb, verb + verb[-1]}
    forms: dict[str, Form] = {}
    if verb[-1] == "y" and verb[-2] not in "aeiou":
        forms = {verb[:-1] + "ies": (verb, "s"), verb[:-1] + "ied": (verb, "past"), verb + "ing": (verb, "ing")}
    elif verb[-1] == "e":
        stem = verb[:-2] + "y" if verb.endswith("ie") else verb if verb.endswith("ee") else verb[:-1]
        forms = {verb + "s": (verb, "s"), verb + "d": (verb, "past"), stem + "ing": (verb, "ing")}
    else:
        plural = "es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s"
        forms = {verb + plural: (verb, "s")}
        for stem in stems:
            forms |= {stem + "ed": (verb, "past"), stem + "ing": (verb, "ing")}
    return forms | {verb: (verb, "base")}


def every_form(verbs: str) -> dict[str, Form]:
    """The forms of a list of verbs, without those that are words of their own."""
    irregular = {words[0]: words[1:] for words in (entry.split() for entry in IRREGULAR.split(";"))}
    forms: dict[str, Form] = {}
    for verb in verbs.split():
        forms |= inflected(verb)
        forms |= dict.fromkeys(irregular.get(verb, ()), (verb, "past"))
        # "read", "run", "become": the base form says nothing of the past.
        forms[verb] = (verb, "base")
    return {form: told for form, told in forms.items() if form not in NOUNS_IN_ING | WHOLE_IN_S}


FORMS = every_form(VERBS)


def singular(word: str) -> str:
    """A noun without the ending of its plural; the word itself where that is not certain."""
    if word in PLURALS:
        return PLURALS[word]
    if len(word) < SHORTEST_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")) or word in WHOLE_IN_S:
        return word
    if word.endswith("ies") and len(word) > SHORTEST_PLURAL:
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses", "zzes")):
        return word[:-2]
    return word[:-1]
