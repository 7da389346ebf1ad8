"""What is asked: answers of each shape that breaks differently."""

from __future__ import annotations

PROMPTS = {
    "sea": "Describe the sea in three sentences.",
    "rain": "Why does it rain? Explain in simple words.",
    "story": "Tell a very short story about a fox and a lantern.",
    "letter": "Write a short polite email that asks to move a meeting to Friday.",
    "bread": "How is bread made?",
    "cities": "List five large cities of Europe, one per line, with a dash before each.",
    "steps": "Give four numbered steps to make tea.",
    "pros": "Name two advantages and two disadvantages of trains, as a bulleted list.",
    "sort": "Write a Python function that sorts a list of numbers. Show it in a code block.",
    "markdown": "Show how to install a package with pip in markdown, with a heading and a code block.",
    "sql": "Write an SQL query that counts the orders of each customer.",
    "loop": "Write a JavaScript loop that prints the numbers from 1 to 10.",
    "json": "Answer with JSON only: an object with the fields name, age and city of an invented person.",
    "array": "Answer with a JSON array of three objects, each with a fruit and its colour.",
    "count": "Count from 1 to 20, separated by commas.",
    "table": "Show the squares of 1 to 5 as a markdown table with two columns.",
    "sum": "What is 17 plus 25? Show how you got there.",
    "dates": "Name the years in which the two world wars began and ended.",
    "chinese": "请用中文写两句话介绍北京。",
    "japanese": "日本の四季について短く説明してください。",
    "german": "Erkläre in zwei Sätzen, was ein Fahrrad ist.",
}
"""By a name for each."""
