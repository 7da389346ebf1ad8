"""How a model is asked, in the language of the conversation, to go on with an answer that was cut off.

The words are those of a user who wants the rest: no persona, no politeness to answer to. Anthropic recommends a user
message for models that take no partial turn (its guide to recovering streams, 2026).
"""

from __future__ import annotations

from typing import NamedTuple


class Phrases(NamedTuple):
    """What is said in one language.

    Attributes:
        cut_off: That the last message was cut off, and what to do.
        ended_with: What comes before the quoted end.
        in_code: That it ended inside a block of code; `{fence}` is the line that opened it.
        in_list: That it ended inside a list.
        call: That a call of the tool `{tool}` was lost.
    """

    cut_off: str
    ended_with: str
    in_code: str
    in_list: str
    call: str


ANY_LANGUAGE = Phrases(
    "Your last message was cut off. Continue exactly where it stopped, in the same language; do not repeat anything "
    "and do not comment.",
    "It ended with:",
    "You are inside a code block that began with {fence}; do not begin it again.",
    "You are inside a list.",
    "You were about to call the tool {tool}; call it.",
)
"""English, for a language that was not recognised."""

PHRASES = {
    "en": ANY_LANGUAGE._replace(
        cut_off="Your last message was cut off. Continue exactly where it stopped; do not repeat anything and do not "
        "comment."
    ),
    "es": Phrases(
        "Tu último mensaje se cortó. Continúa exactamente donde se detuvo; no repitas nada y no comentes nada.",
        "Terminaba así:",
        "Estás dentro de un bloque de código que empezó con {fence}; no lo empieces de nuevo.",
        "Estás dentro de una lista.",
        "Ibas a llamar a la herramienta {tool}; llámala.",
    ),
    "pt": Phrases(
        "A tua última mensagem foi cortada. Continua exatamente onde parou; não repitas nada e não comentes.",
        "Terminava assim:",
        "Estás dentro de um bloco de código que começou com {fence}; não o comeces de novo.",
        "Estás dentro de uma lista.",
        "Ias chamar a ferramenta {tool}; chama-a.",
    ),
    "fr": Phrases(
        "Ton dernier message a été coupé. Continue exactement là où il s'est "
        "arrêté ; ne répète rien et ne commente pas.",
        "Il se terminait par :",
        "Tu es dans un bloc de code qui a commencé par {fence} ; ne le recommence pas.",
        "Tu es dans une liste.",
        "Tu allais appeler l'outil {tool} ; appelle-le.",
    ),
    "de": Phrases(
        "Deine letzte Nachricht wurde abgeschnitten. Schreibe genau dort weiter, wo sie aufgehört hat; wiederhole "
        "nichts und kommentiere nichts.",
        "Sie endete mit:",
        "Du bist in einem Codeblock, der mit {fence} begann; beginne ihn nicht noch einmal.",
        "Du bist in einer Liste.",
        "Du wolltest gerade das Werkzeug {tool} aufrufen; rufe es auf.",
    ),
    "it": Phrases(
        "Il tuo ultimo messaggio è stato interrotto. Continua esattamente da "
        "dove si è fermato; non ripetere nulla e non "
        "commentare.",
        "Finiva con:",
        "Sei dentro un blocco di codice iniziato con {fence}; non iniziarlo di nuovo.",
        "Sei dentro un elenco.",
        "Stavi per chiamare lo strumento {tool}; chiamalo.",
    ),
    "nl": Phrases(
        "Je laatste bericht werd afgebroken. Ga precies verder waar het stopte; herhaal niets en geef geen commentaar.",
        "Het eindigde met:",
        "Je zit in een codeblok dat begon met {fence}; begin het niet opnieuw.",
        "Je zit in een lijst.",
        "Je wilde net de tool {tool} aanroepen; roep die aan.",
    ),
    "pl": Phrases(
        "Twoja ostatnia wiadomość została ucięta. Kontynuuj dokładnie od miejsca, w którym się urwała; niczego nie "
        "powtarzaj i niczego nie komentuj.",
        "Kończyła się tak:",
        "Jesteś wewnątrz bloku kodu, który zaczął się od {fence}; nie zaczynaj go ponownie.",
        "Jesteś wewnątrz listy.",
        "Chodziło o wywołanie narzędzia {tool}; wywołaj je.",
    ),
    "ro": Phrases(
        "Ultimul tău mesaj a fost întrerupt. Continuă exact de unde s-a oprit; nu repeta nimic și nu comenta.",
        "Se termina cu:",
        "Ești într-un bloc de cod care a început cu {fence}; nu îl începe din nou.",
        "Ești într-o listă.",
        "Urma să apelezi instrumentul {tool}; apelează-l.",
    ),
    "tr": Phrases(
        "Son mesajın yarıda kesildi. Tam kaldığı yerden devam et; hiçbir şeyi tekrarlama ve yorum yapma.",
        "Şöyle bitiyordu:",
        "{fence} ile başlayan bir kod bloğunun içindesin; onu yeniden başlatma.",
        "Bir listenin içindesin.",
        "{tool} aracını çağırmak üzereydin; onu çağır.",
    ),
    "vi": Phrases(
        "Tin nhắn cuối của bạn bị ngắt giữa chừng. Hãy tiếp tục đúng từ chỗ "
        "dừng lại; không lặp lại và không bình luận gì.",
        "Nó kết thúc bằng:",
        "Bạn đang ở trong một khối mã bắt đầu bằng {fence}; đừng mở lại khối đó.",
        "Bạn đang ở trong một danh sách.",
        "Bạn đang chuẩn bị gọi công cụ {tool}; hãy gọi nó.",
    ),
    "id": Phrases(
        "Pesan terakhirmu terputus. Lanjutkan tepat dari tempat berhentinya; "
        "jangan ulangi apa pun dan jangan berkomentar.",
        "Pesan itu berakhir dengan:",
        "Kamu berada di dalam blok kode yang dimulai dengan {fence}; jangan memulainya lagi.",
        "Kamu berada di dalam daftar.",
        "Kamu akan memanggil alat {tool}; panggillah.",
    ),
    "cs": Phrases(
        "Tvá poslední zpráva byla useknuta. Pokračuj přesně tam, kde skončila; nic neopakuj a nic nekomentuj.",
        "Končila takto:",
        "Jsi uvnitř bloku kódu, který začal {fence}; nezačínej ho znovu.",
        "Jsi uvnitř seznamu.",
        "Na řadě bylo volání nástroje {tool}; zavolej ho.",
    ),
    "sv": Phrases(
        "Ditt senaste meddelande avbröts. Fortsätt exakt där det slutade; upprepa inget och kommentera inget.",
        "Det slutade med:",
        "Du är inne i ett kodblock som började med {fence}; börja inte om det.",
        "Du är inne i en lista.",
        "Du skulle just anropa verktyget {tool}; anropa det.",
    ),
    "da": Phrases(
        "Din sidste besked blev afbrudt. Fortsæt præcis, hvor den stoppede; gentag intet og kommentér intet.",
        "Den sluttede med:",
        "Du er inde i en kodeblok, der begyndte med {fence}; begynd den ikke igen.",
        "Du er inde i en liste.",
        "Du var ved at kalde værktøjet {tool}; kald det.",
    ),
    "nb": Phrases(
        "Den siste meldingen din ble avbrutt. Fortsett nøyaktig der den "
        "stoppet; ikke gjenta noe og ikke kommenter noe.",
        "Den sluttet med:",
        "Du er inne i en kodeblokk som begynte med {fence}; ikke begynn på den igjen.",
        "Du er inne i en liste.",
        "Du skulle til å kalle verktøyet {tool}; kall det.",
    ),
    "fi": Phrases(
        "Viimeisin viestisi katkesi. Jatka täsmälleen siitä, mihin se jäi; älä toista mitään äläkä kommentoi.",
        "Se päättyi näin:",
        "Olet koodilohkossa, jonka alussa on {fence}; älä aloita sitä uudelleen.",
        "Olet luettelon sisällä.",
        "Olit juuri kutsumassa työkalua {tool}; kutsu sitä.",
    ),
    "hu": Phrases(
        "Az utolsó üzeneted megszakadt. Folytasd pontosan ott, ahol "
        "abbamaradt; ne ismételj meg semmit, és ne fűzz hozzá "
        "megjegyzést.",
        "Így ért véget:",
        "Egy {fence} sorral kezdődő kódblokkban vagy; ne kezdd újra.",
        "Egy listában vagy.",
        "Épp a(z) {tool} eszközt készültél meghívni; hívd meg.",
    ),
    "ru": Phrases(
        "Твоё последнее сообщение оборвалось. Продолжи ровно с того места, "
        "где оно остановилось; ничего не повторяй и не "
        "комментируй.",
        "Оно заканчивалось так:",
        "Ты внутри блока кода, который начался с {fence}; не открывай его заново.",
        "Ты внутри списка.",
        "Предстоял вызов инструмента {tool}; вызови его.",
    ),
    "uk": Phrases(
        "Твоє останнє повідомлення обірвалося. Продовж точно з того місця, "
        "де воно зупинилося; нічого не повторюй і не "
        "коментуй.",
        "Воно закінчувалося так:",
        "Ти всередині блоку коду, який почався з {fence}; не відкривай його знову.",
        "Ти всередині списку.",
        "Далі мав бути виклик інструмента {tool}; виклич його.",
    ),
    "bg": Phrases(
        "Последното ти съобщение беше прекъснато. Продължи точно оттам, където спря; не повтаряй нищо и не коментирай.",
        "То завършваше с:",
        "Намираш се в блок с код, който започна с {fence}; не го започвай отново.",
        "Намираш се в списък.",
        "Предстоеше да извикаш инструмента {tool}; извикай го.",
    ),
    "el": Phrases(
        "Το τελευταίο σου μήνυμα κόπηκε. Συνέχισε ακριβώς από εκεί που "
        "σταμάτησε· μην επαναλάβεις τίποτα και μη σχολιάσεις.",
        "Τελείωνε με:",
        "Βρίσκεσαι μέσα σε μπλοκ κώδικα που άρχισε με {fence}· μην το αρχίσεις ξανά.",
        "Βρίσκεσαι μέσα σε λίστα.",
        "Ετοιμαζόσουν να καλέσεις το εργαλείο {tool}· κάλεσέ το.",
    ),
    "ar": Phrases(
        "انقطعت رسالتك الأخيرة. تابع من حيث توقفت بالضبط؛ لا تكرر شيئًا ولا تعلّق.",
        "كانت نهايتها:",
        "أنت داخل كتلة شيفرة بدأت بـ {fence}؛ لا تبدأها من جديد.",
        "أنت داخل قائمة.",
        "كنت على وشك استدعاء الأداة {tool}؛ استدعها.",
    ),
    "fa": Phrases(
        "آخرین پیام تو ناتمام قطع شد. دقیقاً از همان‌جا که متوقف شد ادامه بده؛ چیزی را تکرار نکن و توضیحی نده.",
        "پایان آن این بود:",
        "درون یک بلوک کد هستی که با {fence} شروع شد؛ آن را دوباره شروع نکن.",
        "درون یک فهرست هستی.",
        "قرار بود ابزار {tool} را فراخوانی کنی؛ آن را فراخوانی کن.",
    ),
    "he": Phrases(
        "ההודעה האחרונה שלך נקטעה. יש להמשיך בדיוק מהמקום שבו היא נעצרה; אין לחזור על דבר ואין להוסיף הערות.",
        "היא הסתיימה כך:",
        "הטקסט נמצא בתוך בלוק קוד שהתחיל ב-{fence}; אין לפתוח אותו שוב.",
        "הטקסט נמצא בתוך רשימה.",
        "עמדה להתבצע קריאה לכלי {tool}; יש לקרוא לו.",
    ),
    "hi": Phrases(
        "आपका पिछला संदेश बीच में कट गया। ठीक वहीं से जारी रखें जहाँ वह रुका था; कुछ भी न दोहराएँ और कोई टिप्पणी न करें।",
        "उसका अंत यह था:",
        "आप {fence} से शुरू हुए कोड ब्लॉक के अंदर हैं; उसे फिर से शुरू न करें।",
        "आप एक सूची के अंदर हैं।",
        "आप टूल {tool} को कॉल करने वाले थे; उसे कॉल करें।",
    ),
    "bn": Phrases(
        "আপনার শেষ বার্তাটি মাঝপথে কেটে গেছে। ঠিক যেখানে থেমেছে সেখান থেকে চালিয়ে যান; "
        "কিছু পুনরাবৃত্তি করবেন না এবং কোনো মন্তব্য করবেন না।",
        "এর শেষটা ছিল:",
        "আপনি {fence} দিয়ে শুরু হওয়া একটি কোড ব্লকের ভেতরে আছেন; সেটি আবার শুরু করবেন না।",
        "আপনি একটি তালিকার ভেতরে আছেন।",
        "আপনি {tool} টুলটি কল করতে যাচ্ছিলেন; সেটি কল করুন।",
    ),
    "ta": Phrases(
        "உங்கள் கடைசி செய்தி பாதியில் நின்றது. நின்ற இடத்திலிருந்தே தொடரவும்; எதையும் மீண்டும் சொல்லவோ கருத்து சொல்லவோ வேண்டாம்.",
        "அது இவ்வாறு முடிந்தது:",
        "நீங்கள் {fence} எனத் தொடங்கிய குறியீட்டுத் தொகுதிக்குள் இருக்கிறீர்கள்; அதை மீண்டும் தொடங்க வேண்டாம்.",
        "நீங்கள் ஒரு பட்டியலுக்குள் இருக்கிறீர்கள்.",
        "நீங்கள் {tool} கருவியை அழைக்க இருந்தீர்கள்; அதை அழைக்கவும்.",
    ),
    "th": Phrases(
        "ข้อความล่าสุดของคุณถูกตัดกลางคัน โปรดเขียนต่อจากจุดที่หยุดพอดี อย่าเขียนซ้ำและอย่าแสดงความคิดเห็น",
        "ข้อความนั้นจบด้วย:",
        "คุณอยู่ในบล็อกโค้ดที่เริ่มด้วย {fence} อย่าเริ่มใหม่",
        "คุณอยู่ในรายการ",
        "คุณกำลังจะเรียกใช้เครื่องมือ {tool} โปรดเรียกใช้",
    ),
    "ja": Phrases(
        "直前のメッセージは途中で切れました。止まった箇所からそのまま続けてください。繰り返しやコメントは不要です。",
        "末尾は次のとおりです:",
        "{fence} で始まるコードブロックの中です。開き直さないでください。",
        "リストの途中です。",
        "ツール {tool} を呼び出すところでした。呼び出してください。",
    ),
    "ko": Phrases(
        "마지막 메시지가 중간에 끊겼습니다. 멈춘 곳에서 그대로 이어서 쓰세요. "
        "아무것도 반복하지 말고 설명도 덧붙이지 마세요.",
        "끝부분은 다음과 같습니다:",
        "{fence}(으)로 시작한 코드 블록 안입니다. 다시 열지 마세요.",
        "목록 안입니다.",
        "도구 {tool}을(를) 호출하려던 참이었습니다. 호출하세요.",
    ),
    "zh": Phrases(
        "你的上一条消息被截断了。请从中断处原样继续;不要重复任何内容,也不要加任何说明。",
        "它的结尾是:",
        "你正处于以 {fence} 开头的代码块中;不要重新开始。",
        "你正处于一个列表中。",
        "你刚才正要调用工具 {tool};请调用它。",
    ),
    "zh-Hant": Phrases(
        "你的上一則訊息被截斷了。請從中斷處原樣繼續;不要重複任何內容,也不要加任何說明。",
        "它的結尾是:",
        "你正處於以 {fence} 開頭的程式碼區塊中;不要重新開始。",
        "你正處於一個清單中。",
        "你剛才正要呼叫工具 {tool};請呼叫它。",
    ),
}
"""By language (BCP 47). Where a language asks for a gender of the one who is spoken to, the wording avoids it."""
