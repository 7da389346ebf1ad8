"""Whether an answer passes with time: such texts are never answered from what is alike.

What the sender means by "today", and what a price or the weather is, the text does not tell. Erring this way costs a
call, so a word that often speaks of the present is enough, in whichever language it stands.
"""

from __future__ import annotations

import re

from .plain import LONGEST_CHARS, plain
from .vocabulary import entries, words

PASSING = words(
    # English
    "today todays tonight tomorrow yesterday now currently current nowadays presently latest newest recent recently "
    "lately upcoming ongoing weather forecast temperature humidity traffic news headline headlines score scores "
    "standings trending weekend monday tuesday wednesday thursday friday saturday sunday ago soon already yet still "
    "anymore status outage balance arriving eta updates availability available deadline "
    "stock stocks bitcoin btc ethereum crypto inflation overdue pending "
    "president ceo "
    # German
    "heute heutige heutigen gestern morgen übermorgen vorgestern jetzt derzeit aktuell aktuelle aktuellen aktueller "
    "aktuelles momentan gerade neueste neuesten neuester letzte letzten nächste nächsten wetter vorhersage bald noch "
    "schon montag dienstag mittwoch donnerstag freitag samstag sonntag wochenende kontostand uhr nachrichten "
    "aktienkurs wechselkurs spielstand öffnet stau kurs "
    # French
    "aujourd'hui demain hier maintenant actuel actuelle actuellement actuels actuelles récent récente "
    "dernier dernière derniers dernières prochain prochaine météo prévisions bientôt lundi mardi mercredi jeudi "
    "vendredi samedi dimanche solde actualités cours heure déjà encore "
    # Spanish
    "hoy mañana ayer ahora actual actuales actualmente último última últimos últimas reciente próximo próxima clima "
    "tiempo pronóstico pronto lunes martes miércoles jueves viernes sábado domingo saldo noticias cotización hora ya "
    "todavía aún "
    # Italian
    "oggi domani ieri adesso ora attuale attuali attualmente ultimo ultima ultimi ultime recente prossimo prossima "
    "meteo previsioni presto lunedì martedì mercoledì giovedì venerdì sabato domenica notizie cambio già ancora "
    # Portuguese
    "hoje amanhã ontem agora atual atuais atualmente atualizado recentes próxima clima previsão breve segunda-feira "
    "segunda terça quarta quinta sexta notícias cotação câmbio já ainda "
    # Dutch
    "vandaag gisteren overmorgen nu huidig huidige recente laatste volgende weer weersverwachting binnenkort maandag "
    "dinsdag woensdag donderdag vrijdag zaterdag zondag saldo nieuws wisselkoers koers reeds nog"
)
AMONG = entries("""
this morning; this afternoon; this evening; this week; this month; this year; this quarter; this season
last week; last month; last year; last night; last quarter; next week; next month; next year; next quarter
this time; at the moment; so far; these days; to date; up to date; in stock; on sale; open now; what time; time is it
price of; prices of
where is my; where's my; where are my; right away; going on; how old is; who is the; who's the; is it raining; as of
next train; next bus; next flight; next game; next match; last game; last match; up or down; service down; site down
website down; server down; app down; api down; system down
is down; be down
days left; days until; days since; long until; when will my; has my; have my; is my order; is my package
is my parcel; will it rain
 exchange rate
exchange rates; interest rate; interest rates; mortgage rates; live score; due date; who won; date is it; what day
diese woche; dieser woche; diesen monat; dieses jahr; wie spät; preis von; cette semaine; ce mois; cette année
quelle heure; prix du; prix de; esta semana; este mes; este año; qué hora; precio de; precio del; questa settimana
questo mese; quest'anno; che ore; prezzo di; prezzo del; este mês; este ano; que horas; preço de; preço do; deze week
deze maand; dit jaar; hoe laat; prijs van
""")
UNSPACED = re.compile(
    "今|現在|现在|最新|最近|明日|明天|昨日|昨天|本日|天气|天気|天氣|几点|幾點|何時|股价|株価|汇率|오늘|지금|현재|내일|어제|최신|최근|날씨|환율|"
    "сегодня|сейчас|завтра|вчера|теперь|погода|курс|последн|текущ|сьогодні|зараз|зараз|"
    "اليوم|الآن|غدا|أمس|الطقس|السعر|आज|अभी|कल|मौसम|วันนี้|ตอนนี้|พรุ่งนี้|dzisiaj|dziś|teraz|jutro|wczoraj|pogoda|"
    "bugün|şimdi|yarın|dün|hava durumu|hari ini|sekarang|besok|kemarin|cuaca|hôm nay|bây giờ|ngày mai|"
    "idag|imorgon|igår|väder|i dag|i morgen|i går|vejr|været|dnes|zítra|včera|počasí|σήμερα|τώρα|αύριο"
)
"""In languages whose texts are only compared to the letter."""

SAID = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


def is_time_dependent(text: str) -> bool:
    """Whether the answer may be another tomorrow, so far as words tell; True for a text too long to be read."""
    if len(text) > LONGEST_CHARS:
        return True
    lower = (plain(text) or text).lower()
    said = SAID.findall(lower)
    if not PASSING.isdisjoint(said) or any(word[:-2] in PASSING for word in said if word.endswith("'s")):
        return True
    spaced = f" {' '.join(said)} "
    if any(f" {turn} " in spaced for turn in AMONG):
        return True
    return not lower.isascii() and UNSPACED.search(lower) is not None
