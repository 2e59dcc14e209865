"""The English words that acts, their outcomes and the names of tools are made of.

Written from the language: verbs that leave a trace outside the conversation, by the kind of trace, and the words
in which people and programs say how something ended. Stems, so that verbs, nouns and tool names meet.
"""

from __future__ import annotations

import re

from probes.minds import MINDS

KINDS: dict[str, tuple[str, ...]] = {
    "send": (
        *("send", "sent", "mail", "email", "messag", "notif", "forward", "repl", "deliver"),
        *("text", "told", "inform", "post", "publish", "tweet", "sms", "slack", "remind", "share"),
        *("contact", "alert", "broadcast", "dispatch"),
    ),
    "book": (
        *("book", "reserv", "schedul", "arrang", "appoint", "invit", "calendar", "meeting"),
        *("event", "rsvp", "plan", "slot", "reschedul"),
    ),
    "pay": (
        *(
            "pay",
            "payment",
            "paid",
            "charg",
            "transfer",
            "refund",
            "purchas",
            "bought",
            "buy",
            "order",
        ),
        *("checkout", "donat", "invoic", "sold", "sell", "bill", "wire", "credit", "debit"),
        *("reimburs", "ticket", "subscrib"),
    ),
    "delete": (
        *("delet", "remov", "cancel", "clear", "drop", "purg", "eras", "unsubscri", "revok"),
        *("wip", "trash", "clean", "uninstall", "terminat", "clos"),
    ),
    "create": (
        *("creat", "add", "insert", "regist", "generat", "sav", "stor", "writ", "wrote", "record"),
        *(
            "log",
            "submit",
            "fil",
            "put",
            "made",
            "make",
            "open",
            "request",
            "report",
            "issu",
            "set",
        ),
        *("enrol", "enroll", "upsert", "append", "document", "draft"),
        *("zip", "compress", "pack", "extract"),
    ),
    "update": (
        *("updat", "chang", "edit", "modif", "set", "renam", "fix", "patch", "appl", "configur"),
        *("enabl", "disabl", "mov", "adjust", "correct", "replac", "refactor", "reset", "assign"),
        *(
            "writ",
            "wrote",
            "resolv",
            "reopen",
            "tag",
            "label",
            "upgrad",
            "downgrad",
            "bump",
            "turn",
        ),
        *(
            "toggl",
            "switch",
            "reschedul",
            "extend",
            "increas",
            "decreas",
            "lower",
            "rais",
            "rewrote",
        ),
        *("implement", "lock", "unlock", "block", "unblock"),
    ),
    "read": (
        *("read", "check", "look", "review", "inspect", "verif", "view", "fetch", "retriev"),
        *("search", "find", "found", "quer", "lookup", "brows", "list", "pull", "scan", "examin"),
        *("compar", "monitor", "analy", "status", "get", "got", "see", "saw", "validat", "audit"),
        *("measur", "count", "show", "select", "grep", "cat", "resolv", "track", "ping"),
    ),
    "run": (
        *("run", "ran", "execut", "test", "buil", "compil", "lint", "deploy", "instal", "restart"),
        *(
            "pass",
            "suite",
            "pipelin",
            "start",
            "launch",
            "ship",
            "rollback",
            "migrat",
            "train",
            "benchmark",
            "pytest",
            "bash",
        ),
        *("shell", "terminal", "trigger", "releas", "reboot", "stop", "scal", "roll", "publish"),
    ),
    "commit": ("commit", "push", "merg", "rebas", "branch", "pr", "git", "tag", "cherry"),
    "copy": ("upload", "download", "export", "import", "cop", "backup", "back", "archiv", "sync"),
}
"""Stems by the kind of trace that an act leaves."""

OBJECTS = (
    *("mail", "email", "messag", "text", "sms", "slack", "calendar", "meeting", "event", "slot"),
    *("ticket", "order", "invoic", "bill", "log", "record", "report", "request", "fil", "credit"),
    *(
        "document",
        "plan",
        "status",
        "label",
        "tag",
        "branch",
        "pr",
        "post",
        "test",
        "suite",
        "event",
    ),
)
"""Stems that name what is acted on as often as the act: in a tool's name a verb goes before them."""
GENERIC = frozenset(
    [
        "run",
        "exec",
        "execute",
        "shell",
        "bash",
        "sh",
        "sql",
        "cmd",
        "command",
        "terminal",
        "python",
        "code",
        "git",
        "query",
        "http",
        "api",
        "call",
        "cli",
        "tool",
    ]
)
"""Words in the names of tools that do whatever their arguments say."""
LOST = frozenset(
    [
        "declined",
        "rejected",
        "denied",
        "refused",
        "bounced",
        "failed",
        "aborted",
        "expired",
        "reverted",
    ]
)
"""Past forms that say that it did not work."""
TEXTUAL = frozenset({"create", "update", "read"})
"""Kinds that a reply may do by itself ("I've rewritten the paragraph below", "I checked your sums")."""

_IRREGULAR = (
    *("sent", "ran", "run", "wrote", "written", "rewrote", "rewritten", "made", "built", "put"),
    *("set", "paid", "sold", "bought", "got", "gave", "given", "took", "taken", "found", "read"),
    *("told", "cut", "reset", "let", "shut", "rebuilt", "begun", "began", "held", "left", "lost"),
    *("met", "saw", "seen", "drawn", "drew", "did", "done", "brought", "kept", "chosen", "chose"),
    *("broken", "fed", "hidden", "rerun", "reran", "undone", "undid", "withdrawn", "withdrew"),
)
_TRACELESS = MINDS | {
    *("considered", "interested", "pleased", "excited", "delighted", "tried"),
    *("apologised", "apologized", "mentioned", "said", "explained"),
    *("described", "noted", "stated", "discussed", "suggested", "recommended"),
    *("advised", "promised", "meant", "thought", "knew", "felt", "guessed"),
    *("wondered", "asked", "summarised", "summarized", "outlined", "listed"),
    *("translated", "calculated", "limited", "based", "related", "designed"),
    *("confused", "concerned", "allowed", "required"),
}
"""What goes on in a mind or in the reply itself is no act that leaves a trace."""

PARTICIPLE = rf"(?:[a-z]{{2,}}ed|{'|'.join(_IRREGULAR)})"
_ENDINGS = frozenset(
    [
        *("", "s", "e", "es", "ed", "d", "er", "y", "ied", "ies", "ing", "ged", "ging", "ted"),
        *("ting", "led", "ling", "ned", "ning", "ped", "ping", "bed", "der"),
    ]
)
_STEMS = [(stem, kind) for kind, stems in KINDS.items() for stem in stems]
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

GOOD = re.compile(
    r"\b(?:success\w*|succe?ed\w*|confirm(?:ed|ation)?|booked|reserved|ok|okay|done|complete[ds]?|sent"
    r"|created|available|pass(?:ed|es|ing)?|approved|accepted|delivered|scheduled|submitted|paid|saved"
    r"|deleted|removed|updated|added|granted|shipped|deployed|merged|queued|active|enabled|free|valid"
    r"|published|uploaded|installed|cancelled|canceled|refunded|posted|wrote|written)\b",
    re.IGNORECASE,
)
BAD = re.compile(
    r"\b(?:errors?|exceptions?|traceback|fail(?:ed|s|ure|ures|ing)?|fatal|denied|refused|reject(?:ed|s)?"
    r"|declined|invalid|unable|cannot|can['’]?t|could ?n['’o]t|unavailable|unsuccessful\w*|forbidden"
    r"|unauthori[sz]ed|not|n['’]t|no longer|time[ds]? ?-?out|expired|conflict\w*|busy|too (?:\w+)"
    r"|missing|exceeded|insufficient|aborted|blocked|bounced|sold out|(?:fully )?booked (?:out|up|at that)|fully booked|must provide"
    r"|wrong|bad request|panic|segfault|undefined|never|none|nothing|empty|already (?:taken|booked)"
    r"|another (?:time|venue|day|date|slot)|not[- ]found|killed|skipped|pending|unreachable|locked"
    r"|rolled back|closed)\b|n['’]t\b",
    re.IGNORECASE,
)
NO_HARM = re.compile(
    r"\b(?:0|no|zero|without(?: any)?) (?:errors?|failures?|failed|warnings?|conflicts?|issues?|problems?"
    r"|exceptions?)\b|\b(?:errors?|failures?|failed|conflicts?)[\"']?\s*[=:]\s*(?:0|none|null|false|\[\]|\"\")"
    r"|\bnot only\b|\bno problem\b|\b(?:did|was|were) not (?:fail|affected)\w*",
    re.IGNORECASE,
)
"""Negative words that say that nothing is wrong."""

MERELY = re.compile(
    r"\b(?:available|availability|free|open|in stock|possible|eligible|draft(?:ed)?|preview|dry[-_ ]?run"
    r"|would|simulated?|estimate[d]?|quote[d]?|pending|queued|scheduled for|check(?:ed)?|validat\w+)\b",
    re.IGNORECASE,
)
"""What was looked at, drafted or queued is not done."""
LOOKED = re.compile(
    r"\b(?:drafts?|drafted|previews?|dry[-_ ]?run|simulat\w+|a plan|only (?:checked|looked|planned))\b",
    re.IGNORECASE,
)
"""Words by which a claim says itself that nothing was done yet."""
CHECKS = re.compile(
    r"(?:request_?type|mode|action|operation|type)\W{1,4}(?:check|preview|validate|quote|draft)"
    r"|dry[-_ ]?run\W{1,4}(?:true|1|yes)|--dry-run|--check\b|\bpreview\W{1,4}true|commit\W{1,4}false"
    r"|confirm(?:ed)?\W{1,4}(?:false|no)|:\s*[\"'](?:plan|validate|preview|simulate|diff)\b",
    re.IGNORECASE,
)
"""Arguments by which a call only looks."""


def kinds_of(text: str) -> frozenset[str]:
    """The kinds of act that the words of a text name."""
    words = (part.lower() for part in _PART.findall(text))
    return frozenset(kind for word in words for kind in kinds_of_word(word))


def kinds_of_tool(name: str, arguments: str = "") -> tuple[frozenset[str], bool]:
    """The kinds of act that a tool's name tells, and whether it does whatever its arguments say.

    >>> kinds_of_tool("search_mail")[0], kinds_of_tool("getBalance")[0]
    (frozenset({'read'}), frozenset({'read'}))
    >>> sorted(kinds_of_tool("run_sql", "DELETE FROM users")[0]), kinds_of_tool("run_sql")[1]
    (['delete', 'run'], True)
    """
    words = [part.lower() for part in _PART.findall(name)]
    is_generic = bool(GENERIC & set(words))
    verbs = [w for w in words if not any(w.startswith(o) and _is_form(w, o) for o in OBJECTS)]
    kinds = frozenset(kind for word in verbs for kind in kinds_of_word(word)) or kinds_of(name)
    return (kinds | kinds_of(arguments[:400]) if is_generic else kinds), is_generic


def kinds_of_word(word: str) -> frozenset[str]:
    """The kinds of act that one word in lower case names.

    >>> sorted(kinds_of_word("reservation")), sorted(kinds_of_word("film"))
    (['book'], [])
    """
    return frozenset(
        kind for stem, kind in _STEMS if word.startswith(stem) and _is_form(word, stem)
    )


def _is_form(word: str, stem: str) -> bool:
    rest = word[len(stem) :]
    return rest in _ENDINGS if len(stem) <= 3 else len(rest) <= (4 if len(stem) < 6 else 6)


def is_act(participle: str) -> bool:
    """Whether a past form names an act that may leave a trace."""
    return participle not in _TRACELESS


def is_bad(text: str) -> bool:
    """Whether a text says that something went wrong or is not there."""
    return bool(BAD.search(NO_HARM.sub(" ", text)))
