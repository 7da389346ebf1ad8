"""The support desk's tools: a small SQLite database, made at first run."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from langchain_core.tools import BaseTool, StructuredTool, ToolException

CARDS = [("4821", "Ana Silva", "active"), ("7730", "Ana Silva", "active"), ("1093", "Ben Okafor", "active")]
TRANSACTIONS = [
    ("4821", "2026-11-19", "Harbour Books", -23.50),
    ("4821", "2026-11-19", "Harbour Books", -23.50),
    ("4821", "2026-11-20", "City Transit", -2.80),
    ("7730", "2026-11-18", "Salary", 2_140.00),
    ("1093", "2026-11-20", "Corner Café", -4.10),
]


def open_desk(path: Path) -> sqlite3.Connection:
    """The desk's database, filled with a few customers if it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    desk = sqlite3.connect(path, check_same_thread=False)
    with desk:
        desk.executescript(
            "DROP TABLE IF EXISTS cards; DROP TABLE IF EXISTS transactions;"
            "CREATE TABLE cards (last4 TEXT PRIMARY KEY, owner TEXT, status TEXT);"
            "CREATE TABLE transactions (last4 TEXT, day TEXT, payee TEXT, amount REAL);"
            "CREATE TABLE IF NOT EXISTS tickets (last4 TEXT, topic TEXT, summary TEXT);"
        )
        desk.executemany("INSERT INTO cards VALUES (?, ?, ?)", CARDS)
        desk.executemany("INSERT INTO transactions VALUES (?, ?, ?, ?)", TRANSACTIONS)
    return desk


def desk_tools(desk: sqlite3.Connection) -> list[BaseTool]:
    """Tools over the database; a wrong card number is an error the agent must recover from."""

    def known(last4: str) -> str:
        if not desk.execute("SELECT 1 FROM cards WHERE last4 = ?", (last4,)).fetchone():
            raise ToolException(f"no card ends in {last4}; ask for the last four digits printed on the card")
        return last4

    def card_status(last4: str) -> str:
        """Status and owner of the card that ends in these four digits."""
        owner, status = desk.execute("SELECT owner, status FROM cards WHERE last4 = ?", (known(last4),)).fetchone()
        return f"card {last4} of {owner} is {status}"

    def list_transactions(last4: str, limit: int = 5) -> str:
        """The newest transactions of a card."""
        rows = desk.execute(
            "SELECT day, payee, amount FROM transactions WHERE last4 = ? ORDER BY day DESC LIMIT ?",
            (known(last4), limit),
        ).fetchall()
        return "\n".join(f"{day}  {payee}  {amount:.2f} EUR" for day, payee, amount in rows) or "no transactions"

    def freeze_card(last4: str, reason: Literal["lost", "stolen", "fraud"]) -> str:
        """Freeze a card at once."""
        with desk:
            desk.execute("UPDATE cards SET status = ? WHERE last4 = ?", (f"frozen ({reason})", known(last4)))
        return f"card {last4} is frozen ({reason})"

    def open_ticket(last4: str, topic: Literal["refund", "replacement", "other"], summary: str) -> str:
        """Hand a case to a person at the bank."""
        with desk:
            number = desk.execute("INSERT INTO tickets VALUES (?, ?, ?)", (known(last4), topic, summary)).lastrowid
        return f"ticket T-{number} is open ({topic})"

    tools = (card_status, list_transactions, freeze_card, open_ticket)
    return [StructuredTool.from_function(tool, handle_tool_error=True) for tool in tools]
