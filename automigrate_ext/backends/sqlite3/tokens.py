"""Split SQLite's SQL into tokens, and write expressions in one canonical form.

The lexical rules are those of SQLite's tokenize.c: https://sqlite.org/lang_keywords.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from automigrate_ext.exceptions import AutomigrateError

# A word is given by the ASCII characters that are not in it: sets that reach to the end of Unicode take eight times
# as long to compile as all the rest.
TOKEN = re.compile(
    r"""
    (?: [ \t\n\f\r\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z) )*
    (?:
      (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\])
    | (?P<blob>[xX]'[0-9a-fA-F]*')
    | (?P<number>0[xX][0-9a-fA-F_]+ | (?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
    | (?P<word>[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*)
    | (?P<operator>\|\||->>|->|<<|>>|<=|>=|<>|!=|==|[-+*/%&|~<>=(),.;])
    | (?P<end>\Z)
    | (?P<unknown>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
#: Different spellings of one operator.
SYNONYMS = {"<>": "!=", "==": "="}
#: Words of the grammar of expressions, which name no column unless they are quoted.
GRAMMAR_WORDS = frozenset(
    (
        "ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "COLLATE", "CURRENT_DATE",
        "CURRENT_TIME", "CURRENT_TIMESTAMP", "DESC", "DISTINCT", "ELSE", "END", "ESCAPE", "EXISTS",
        "FILTER", "FROM", "GLOB", "GROUP", "IN", "IS", "ISNULL", "LIKE", "MATCH", "NOT", "NOTNULL", "NULL",
        "OR", "ORDER", "OVER", "RAISE", "REGEXP", "SELECT", "THEN", "UNION", "VALUES", "WHEN", "WHERE"
    )
)  # fmt: skip


class UnreadableSQL(AutomigrateError):
    """A definition in the database that does not follow SQLite's grammar, as far as the parser implements it."""


class Token(NamedTuple):
    """A word, quoted name, string, blob, number or operator; `value` is its meaning, `text` its spelling.

    The value of a word is in upper case, that of a quoted name or a string is without its quotes.
    """

    kind: str
    text: str
    value: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The token read as an identifier."""
        return self.text if self.kind == "word" else self.value


@dataclass(frozen=True, eq=False)
class Names:
    """The names that an expression may use: the table's, and its columns' with their collations."""

    table: str
    columns: dict[str, str]
    collations: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, columns: Collection[tuple[str, str | None]]) -> Names:
        """Return the names of a table whose columns have these names and collations."""
        by_name = {fold(name): name for name, _ in columns}
        return cls(table=table, columns=by_name, collations=dict(columns))

    def column(self, name: str) -> str | None:
        """Return the column of that name as the table spells it, None if there is none."""
        return self.columns.get(fold(name))


class Expression(NamedTuple):
    """An expression in canonical form, and the columns that it reads."""

    text: str
    columns: tuple[str, ...]


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of a statement without its space and comments. Raises `UnreadableSQL`."""
    tokens = []
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup or "unknown"
        text = match[kind]
        if kind == "end":
            break
        if kind == "unknown":
            raise UnreadableSQL(f"unexpected character {text!r} in {sql!r}")
        end = match.end()
        tokens.append(Token(kind, text, token_value(kind, text), end - len(text), end))
    return tokens


def token_value(kind: str, text: str) -> str:
    """Return the value of a token, whatever its spelling."""
    if kind == "word" or kind == "blob":
        return upper(text)
    if kind == "operator":
        return SYNONYMS.get(text, text)
    if kind == "number":
        return fold(text).replace("_", "")
    mark = text[0]
    return text[1:-1] if mark == "[" else text[1:-1].replace(mark * 2, mark)


def fold(name: str) -> str:
    """Return the name in lower case, as SQLite folds names: ASCII letters only."""
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)


def upper(name: str) -> str:
    """Return the name in upper case, ASCII letters only."""
    return name.upper() if name.isascii() else "".join(c.upper() if c.isascii() else c for c in name)


def quote_name(name: str) -> str:
    """Return the identifier in double quotes."""
    return '"{}"'.format(name.replace('"', '""'))


def quote_text(text: str) -> str:
    """Return the text as a string literal."""
    return "'{}'".format(text.replace("'", "''"))


def is_operator(token: Token, text: str) -> bool:
    """Return whether the token is that operator or bracket."""
    return token.kind == "operator" and token.value == text


def without_brackets(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the tokens without brackets around all of them."""
    while len(tokens) > 2 and is_operator(tokens[0], "(") and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the position of the bracket that closes the one at `opening`. Raises `UnreadableSQL`."""
    depth = 0
    for position in range(opening, len(tokens)):
        token = tokens[position]
        if token.kind == "operator":
            depth += (token.value == "(") - (token.value == ")")
            if depth == 0:
                return position
    raise UnreadableSQL("a bracket that nothing closes")


def split_at_commas(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Return the parts between the commas that are inside no brackets."""
    parts, start, depth = [], 0, 0
    for position, token in enumerate(tokens):
        if token.kind != "operator":
            continue
        depth += (token.value == "(") - (token.value == ")")
        if token.value == "," and depth == 0:
            parts.append(tokens[start:position])
            start = position + 1
    return [*parts, tokens[start:]]


def canonical(tokens: Sequence[Token], names: Names) -> Expression:
    """Return the expression written in one way, whatever its spacing, quoting and letter case."""
    writer = Writer(names)
    tokens = without_brackets(tokens)
    position = 0
    while position < len(tokens):
        position += writer.write(tokens, position)
    return Expression("".join(writer.parts), tuple(dict.fromkeys(writer.columns)))


class Writer:
    """Writes tokens one after the other, with canonical spacing, and collects the columns among them."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.parts: list[str] = []
        self.columns: list[str] = []
        self.glued = True
        self.calls = False

    def write(self, tokens: Sequence[Token], position: int) -> int:
        """Write the token at `position`; return how many tokens that took."""
        token = tokens[position]
        if token.kind == "operator":
            self.write_operator(token.value)
        elif token.kind == "string":
            self.write_word(token.text)
        elif token.kind in ("number", "blob"):
            self.write_word(token.value)
        elif self.is_own_table(tokens, position):
            return 2
        else:
            self.write_name(tokens, position)
        return 1

    def is_own_table(self, tokens: Sequence[Token], position: int) -> bool:
        """Return whether the token and the full stop after it only qualify a column by the table itself."""
        if position + 2 >= len(tokens) or not is_operator(tokens[position + 1], "."):
            return False
        after_dot = position > 0 and is_operator(tokens[position - 1], ".")
        return not after_dot and fold(tokens[position].name) == fold(self.names.table)

    def write_operator(self, text: str) -> None:
        if text in ("(", ")", ",", "."):
            opens = text == "(" and not self.glued and not self.calls
            self.parts.append(" (" if opens else text)
            self.glued = text in ("(", ".")
        else:
            self.write_word(text)
        self.calls = False

    def write_name(self, tokens: Sequence[Token], position: int) -> None:
        token = tokens[position]
        calls = position + 1 < len(tokens) and is_operator(tokens[position + 1], "(")
        is_grammar = token.kind == "word" and token.value in GRAMMAR_WORDS
        if position > 0 and tokens[position - 1].kind == "word" and tokens[position - 1].value == "COLLATE":
            self.write_word(collation_word(upper(token.name)))
        elif calls or is_grammar:
            self.write_word(upper(token.name))
            self.calls = calls and (not is_grammar or token.value == "CAST")
        elif column := self.names.column(token.name):
            self.columns.append(column)
            self.write_word(quote_name(column))
        elif token.text.startswith('"'):
            # SQLite treats a double-quoted name that names nothing as a string:
            # https://sqlite.org/quirks.html#double_quoted_string_literals_are_accepted
            self.write_word(quote_text(token.value))
        else:
            self.write_word(token.value if token.kind == "word" else quote_name(token.value))

    def write_word(self, text: str) -> None:
        self.parts.append(text if self.glued else f" {text}")
        self.glued = self.calls = False


def collation_word(name: str) -> str:
    """Return a collation's name as SQL, quoted unless it is one of SQLite's own."""
    return name if name in ("BINARY", "NOCASE", "RTRIM") else quote_name(name)
