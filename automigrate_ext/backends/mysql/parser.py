"""Parse the output of SHOW CREATE TABLE, which has one form for all tables, temporary ones included.

The server prints names in backticks and texts in single quotes, however they were written. So the parser needs only
the end of an expression and the names in it.
Sources: MariaDB's show_create_table() and MySQL's store_create_info() in sql/sql_show.cc.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import lru_cache
from itertools import pairwise

from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Table,
    Unique,
)

TOKEN = re.compile(
    r"""
    (?P<name>`(?:[^`]|``)*`)
  | (?P<text>(?:\b[bxn])?'(?:[^'\\]|\\.|'')*')
  | (?P<hint>/\*M?!\d*|\*/)
  | (?P<open>\()
  | (?P<close>\))
  | (?P<comma>,)
  | (?P<word>[^\s`'(),/*]+|[/*])
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

#: The number of texts of columns, keys and constraints whose meaning is kept.
ITEMS_KEPT = 8192

#: The words that may follow a column's default value.
AFTER_DEFAULT = {"AUTO_INCREMENT", "COMMENT", "CHECK", "INVISIBLE", "WITHOUT", "COLUMN_FORMAT", "STORAGE", "REFERENCES"}
#: Words of a type that follow its name.
TYPE_WORDS = {"UNSIGNED", "ZEROFILL", "SIGNED"}
#: How the server prints that it compresses each value: https://mariadb.com/kb/en/storage-engine-independent-column-compression/
COMPRESSED = re.compile(r"/\*M?!\d* *COMPRESSED\b.*?\*/", re.IGNORECASE)
COMPRESSIBLE = re.compile(r"^(varchar|varbinary|(tiny|medium|long)?(text|blob))\b")
#: The number of characters to which an integer is padded for display, which does not limit its values.
DISPLAY_WIDTH = re.compile(r"\b(tinyint|smallint|mediumint|int|bigint)\(\d+\)")
BOOLEAN = "tinyint(1)"
YEAR = re.compile(r"^year\(4\)$")
INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")

# The type of a column declared as json on MariaDB: https://mariadb.com/kb/en/json-data-type/
JSON_STORED_AS, JSON_COLLATION = "longtext", "utf8mb4_bin"
JSON = "json"

#: The pseudo-column that system versioning adds to tables: https://mariadb.com/kb/en/system-versioned-tables/
ROW_END = "ROW_END"

NO_ACTION = {"RESTRICT", "NO ACTION"}


class Unreadable(ValueError):
    """A text of SHOW CREATE TABLE that is not of the known form."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text, and where it starts and ends."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The keyword, in upper case, or "" for anything else."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """A table as it was printed, with its engine and its collation, which a `Table` does not have.

    `own_indexes` are the indexes that belong to foreign keys and are left out of the table: their names by those of
    the keys. `row_end` is the column with the end of a row's validity in a system-versioned table, which is a
    pseudo-column where none is declared. `partitioned_by` are the columns that decide about the
    partition of a row.
    """

    table: Table
    engine: str
    charset: str
    collation: str
    own_indexes: Mapping[str, str]
    row_end: str = ROW_END
    partitioned_by: tuple[str, ...] = ()


def parse_table(sql: str) -> TableText:
    """Return the table that a CREATE TABLE text of the server describes. Raises `Unreadable`."""
    pieces = pieces_by_lines(sql) or pieces_by_tokens(sql)
    options = read_options(pieces.options)
    reader = TableReader(pieces.name, options)
    for item in pieces.items:
        reader.read(item)
    table = reader.table()
    return TableText(
        table=table,
        engine=options.value("ENGINE"),
        charset=options.value("CHARSET"),
        collation=options.value("COLLATE"),
        own_indexes={index.name: index.name for index in reader.own_indexes()},
        row_end=reader.period[1],
        partitioned_by=options.partition_columns(table.primary_key.columns if table.primary_key else ()),
    )


@dataclass(frozen=True, slots=True)
class Pieces:
    """The texts of a CREATE TABLE: the name, each column, key and constraint, and what follows their brackets."""

    name: str
    items: Sequence[str]
    options: str


def pieces_by_lines(sql: str) -> Pieces | None:
    """Return the pieces by the lines in which the server prints them, or None where a piece has several lines."""
    first, *lines = sql.split("\n")
    closing = next((number for number, line in enumerate(lines) if line.startswith(")")), None)
    names = [token for token in tokenize(first) if token.kind == "name"]
    if closing is None or not names or not first.endswith(" ("):
        return None
    items = [line.strip().removesuffix(",") for line in lines[:closing]]
    if not all(map(is_whole, items)):
        return None
    return Pieces(unquote(names[-1].text), items, "\n".join(lines[closing:])[1:])


def pieces_by_tokens(sql: str) -> Pieces:
    """Return the pieces by the brackets and commas between them. Raises `Unreadable`."""
    tokens = tokenize(sql)
    opening = next((n for n, token in enumerate(tokens) if token.kind == "open"), None)
    names = [token for token in tokens[:opening] if token.kind == "name"]
    if opening is None or not names:
        raise Unreadable(f"not a table: {sql[:100]}")
    closing = closing_of(tokens, opening)
    items = [sql[item[0].start : item[-1].end] for item in split(tokens[opening + 1 : closing]) if item]
    return Pieces(unquote(names[-1].text), items, sql[tokens[closing].end :])


@lru_cache(maxsize=ITEMS_KEPT)
def is_whole(text: str) -> bool:
    """Return whether a text is made of whole tokens, so that nothing in it goes on after its end."""
    tokens = tokens_of(text)
    ends = [0, *(token.end for token in tokens)]
    starts = [*(token.start for token in tokens), len(text)]
    if any(text[end:start].strip() for end, start in zip(ends, starts, strict=True)):
        return False
    kinds = Counter(token.kind for token in tokens)
    return kinds["open"] == kinds["close"] and kinds["hint"] % 2 == 0


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of a text."""
    return [Token(match.lastgroup or "", match.group(), *match.span()) for match in TOKEN.finditer(sql)]


@lru_cache(maxsize=256)
def tokens_of(text: str) -> tuple[Token, ...]:
    """Return the tokens of a text that is looked at twice, one time soon after the other."""
    return tuple(tokenize(text))


def closing_of(tokens: Sequence[Token], opening: int) -> int:
    """Return the position of the bracket that closes the one at a position."""
    depth = 0
    for position in range(opening, len(tokens)):
        depth += (tokens[position].kind == "open") - (tokens[position].kind == "close")
        if depth == 0:
            return position
    raise Unreadable("a bracket is not closed")


def split(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens between the commas that are inside no brackets."""
    item: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind == "open") - (token.kind == "close")
        if token.kind == "comma" and depth == 0:
            yield item
            item = []
        else:
            item.append(token)
    if item:
        yield item


def unquote(name: str) -> str:
    """Return a name without its backticks."""
    return name[1:-1].replace("``", "`")


def quoted(name: str) -> str:
    """Return a name in backticks."""
    return f"`{name.replace('`', '``')}`"


def unquote_text(text: str) -> str:
    """Return the value of a text literal, as the server prints comments."""
    escapes = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}
    inner = text[text.index("'") + 1 : -1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: escapes.get(match.group(1), match.group(1)), inner, flags=re.DOTALL)


def text_literal(text: str) -> str:
    """Return a text as the server prints literals."""
    escaped = (
        text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")
    )
    return f"'{escaped}'"


def literals_in(text: str) -> list[str]:
    """Return the text literals of an expression or type, as they were printed."""
    return [token.text for token in tokenize(text) if token.kind == "text"]


def names_in(text: str) -> tuple[str, ...]:
    """Return the names that an expression mentions, once each."""
    found = (unquote(token.text) for token in tokenize(text) if token.kind == "name")
    return tuple(dict.fromkeys(found))


def rename_in(text: str, names: dict[str, str]) -> str:
    """Return an expression with some of its names replaced."""
    parts, end = [], 0
    for token in tokenize(text):
        if token.kind == "name" and unquote(token.text) in names:
            parts += [text[end : token.start], quoted(names[unquote(token.text)])]
            end = token.end
    return "".join([*parts, text[end:]])


@lru_cache(maxsize=ITEMS_KEPT)
def read_options(text: str) -> Options:
    """Return the options of tables after whose columns this text follows: those of most tables are the same."""
    return Options(tokenize(text))


class Options:
    """The table options, which follow the brackets with the columns."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.values: dict[str, str] = {}

    def value(self, name: str) -> str:
        """Return the value of an option, "" where it is missing."""
        if name not in self.values:
            self.values[name] = self.find(name)
        return self.values[name]

    def find(self, name: str) -> str:
        """Look for the value of an option; see `value`."""
        for position, token in enumerate(self.tokens):
            if token.word.startswith(f"{name}=") and len(token.text) > len(name) + 1:
                return token.text[len(name) + 1 :]
            if token.word == f"{name}=" and position + 1 < len(self.tokens):
                return unquote_text(self.tokens[position + 1].text)
        return ""

    def partition_columns(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns by which the table is partitioned and subpartitioned, which may be its `key` unnamed."""
        columns: list[str] = []
        for position, token in enumerate(self.tokens[:-1]):
            if token.word not in ("PARTITION", "SUBPARTITION") or self.tokens[position + 1].word != "BY":
                continue
            method = self.tokens[position + 2].word
            opening = next(n for n in range(position, len(self.tokens)) if self.tokens[n].kind == "open")
            inside = self.tokens[opening + 1 : closing_of(self.tokens, opening)]
            if method != "SYSTEM_TIME":
                named = [unquote(token.text) for token in inside if token.kind == "name"]
                columns += named or (key if "KEY" in (method, self.tokens[position + 3].word) else ())
        return tuple(dict.fromkeys(columns))


class Item:
    """The tokens of one column, key or constraint, read from left to right."""

    def __init__(self, sql: str, tokens: Sequence[Token]) -> None:
        self.sql = sql
        self.tokens = tokens
        self.position = 0

    @property
    def more(self) -> bool:
        """Whether there is a token left."""
        return self.position < len(self.tokens)

    @property
    def next(self) -> Token:
        """The next token."""
        if not self.more:
            raise Unreadable(f"more was expected: {self.text()}")
        return self.tokens[self.position]

    def take(self) -> Token:
        """Return the next token, and move past it."""
        token = self.next
        self.position += 1
        return token

    def accept(self, *words: str) -> bool:
        """Move past the words if they come next; return whether they did."""
        ahead = self.tokens[self.position : self.position + len(words)]
        if [token.word for token in ahead] != list(words):
            return False
        self.position += len(words)
        return True

    def group(self) -> Item:
        """Return the tokens inside the brackets that come next."""
        opening = self.position
        if self.next.kind != "open":
            raise Unreadable(f"a bracket was expected: {self.text()}")
        closing = closing_of(self.tokens, opening)
        self.position = closing + 1
        return Item(self.sql, self.tokens[opening + 1 : closing])

    def names(self) -> tuple[str, ...]:
        """Return all names of the item."""
        return tuple(unquote(token.text) for token in self.tokens if token.kind == "name")

    def name(self) -> str:
        """Return the name that comes next."""
        token = self.take()
        if token.kind != "name":
            raise Unreadable(f"a name was expected: {self.text()}")
        return unquote(token.text)

    def text(self) -> str:
        """Return the whole item as it was printed."""
        return self.sql[self.tokens[0].start : self.tokens[-1].end] if self.tokens else ""

    def rest(self) -> str:
        """Return the tokens not read yet, as they were printed."""
        return self.sql[self.next.start : self.tokens[-1].end] if self.more else ""

    def since(self, start: int) -> str:
        """Return the tokens read since a position, as they were printed."""
        return self.sql[self.tokens[start].start : self.tokens[self.position - 1].end]


class TableReader:
    """Collects the columns, keys and constraints of one CREATE TABLE."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        self.charset, self.collation = options.value("CHARSET"), options.value("COLLATE")
        self.columns: list[Column] = []
        self.primary_key: PrimaryKey | None = None
        self.constraints: list[Constraint] = []
        self.indexes: list[Index] = []
        #: The columns of the time in which a row was valid.
        self.period = ("ROW_START", ROW_END)

    def read(self, text: str) -> None:
        """Read one item."""
        for noun in read_item(text, self.charset, self.collation):
            match noun:
                case Column():
                    self.columns.append(noun)
                case PrimaryKey():
                    self.primary_key = noun
                case Index():
                    self.indexes.append(noun)
                case Period():
                    self.period = noun.start, noun.end
                case _:
                    self.constraints.append(noun)

    def timeless(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns of a key without the one that the server adds."""
        return tuple(column for column in columns if column != self.period[1])

    def own_indexes(self) -> list[Index]:
        """Return the indexes that the server made for foreign keys."""
        keys = {key.name: key.columns for key in self.constraints if isinstance(key, ForeignKey)}
        return [index for index in self.indexes if is_plain_index_over(index, keys.get(index.name))]

    def table(self) -> Table:
        """Return the table without the indexes that belong to foreign keys, and without the period of versioning.

        The server fills the columns of that period, adds the second one to every key, and drops them with the period.
        """
        own = self.own_indexes()
        indexes = [index for index in self.indexes if index not in own or index.name not in {i.name for i in own}]
        return Table(
            name=self.name,
            columns=tuple(column for column in self.columns if column.name not in self.period),
            primary_key=self.primary_key and evolve(self.primary_key, columns=self.timeless(self.primary_key.columns)),
            constraints=tuple(
                evolve(constraint, columns=self.timeless(constraint.columns))
                if isinstance(constraint, Unique)
                else constraint
                for constraint in self.constraints
            ),
            indexes=tuple(indexes),
            comment=self.options.value("COMMENT"),
            collation=self.collation,
        )


@dataclass(frozen=True, slots=True)
class Period:
    """The columns of the time in which a row was valid."""

    start: str
    end: str


@lru_cache(maxsize=ITEMS_KEPT)
def read_item(text: str, charset: str, collation: str) -> tuple[Column | PrimaryKey | Constraint | Index | Period, ...]:
    """Return what the text of one column, key or constraint describes, in a table of this character set and collation.

    Equal texts are read once: most columns of a project are like many others. Raises `Unreadable`.
    """
    item = Item(text, tokens_of(text))
    if item.next.kind == "name":
        return tuple(read_column(item, charset, collation))
    if item.accept("PRIMARY", "KEY"):
        return (PrimaryKey(columns=tuple(key.column or "" for key in read_keys(item.group()))),)
    if item.accept("CONSTRAINT"):
        return (read_constraint(item),)
    if item.accept("UNIQUE", "KEY"):
        return (read_unique(item),)
    if item.accept("KEY"):
        return (read_index(item),)
    if item.next.word in ("FULLTEXT", "SPATIAL", "VECTOR"):
        method = item.take().text.lower()
        item.accept("KEY")
        return (evolve(read_index(item), method=method),)
    if item.accept("PERIOD", "FOR", "SYSTEM_TIME"):
        start, end = item.group().names()
        return (Period(start, end),)
    if item.accept("PERIOD"):
        return ()
    raise Unreadable(f"unknown: {item.text()}")


def read_column(item: Item, charset: str, collation: str) -> Iterator[Column | Check]:
    """Yield a column, and its own check if it has one."""
    reader = ColumnReader(item)
    column, check = reader.read()
    if check is not None and is_json(column, check, collation):
        column, check = evolve(column, type=JSON, collation=None, collatable=False), None
    yield evolve(column, recoded=True) if reader.charset not in (None, charset) else column
    if check is not None:
        yield Check(expression=check, columns=names_in(check), sql=f"CHECK ({check})")


def read_constraint(item: Item) -> ForeignKey | Check:
    """Read a foreign key or check, from its name on."""
    name = item.name()
    if item.accept("FOREIGN", "KEY"):
        return read_foreign_key(item, name)
    if not item.accept("CHECK"):
        raise Unreadable(f"unknown: {item.text()}")
    expression = item.group().text()
    return Check(
        name=name,
        expression=expression,
        columns=names_in(expression),
        # MySQL prints that in a comment for versions of the server that know it.
        enforced=not any(token.word == "ENFORCED" for token in item.tokens[item.position :]),
        sql=item.text(),
    )


def read_unique(item: Item) -> Unique | Index:
    """Read a unique key, which is a constraint if it consists of whole columns, and else an index."""
    index = evolve(read_index(item), unique=True)
    plain = Index(keys=tuple(IndexKey(column=key.column) for key in index.keys), unique=True)
    return Unique(name=index.name, columns=index.columns, sql=index.sql) if index == plain else index


def is_plain_index_over(index: Index, columns: tuple[str, ...] | None) -> bool:
    """Return whether the index is like the one that the server makes for a foreign key over these columns."""
    return columns is not None and index == Index(keys=tuple(IndexKey(column=column) for column in columns))


def is_json(column: Column, check: str, collation_of_table: str) -> bool:
    """Return whether a text column was declared as json, by MariaDB's check."""
    is_stored_alike = (column.type, column.collation or collation_of_table) == (JSON_STORED_AS, JSON_COLLATION)
    return is_stored_alike and check == f"json_valid({quoted(column.name)})"


class ColumnReader:
    """Reads the definition of one column."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.name = item.name()
        self.first = item.position
        self.charset: str | None = None
        self.collation: str | None = None
        self.null = True
        self.default: str | None = None
        self.identity: str | None = None
        self.comment = ""
        self.check: str | None = None
        self.generated: Generated | None = None
        self.extra: list[str] = []

    def read(self) -> tuple[Column, str | None]:
        """Return the column, and the expression of its own check if it has one."""
        kind = self.read_type()
        while self.item.more:
            self.read_clause()
        column = Column(
            name=self.name,
            type=kind,
            null=self.null,
            default=self.default,
            generated=self.generated,
            collation=self.collation or self.charset,
            identity=self.identity,
            comment=self.comment,
            sql=self.item.since(self.first),
            reads=names_in(self.generated.expression) if self.generated else (),
            collatable=is_text(kind),
            extra=" ".join(self.extra),
            follows_updates=self.follows_updates,
        )
        return column, self.check

    @property
    def follows_updates(self) -> bool:
        """Whether the server sets the column to the time of each change of its row."""
        tokens = self.item.tokens[self.first :]
        return any(token.word == "ON" and after.word == "UPDATE" for token, after in pairwise(tokens))

    def read_type(self) -> str:
        item = self.item
        item.take()
        if item.more and item.next.kind == "open":
            item.group()
        while item.more and item.next.word in TYPE_WORDS:
            item.take()
        return plain_type(item.since(self.first))

    def read_clause(self) -> None:
        item = self.item
        if item.accept("NOT", "NULL"):
            self.null = False
        elif item.accept("CHARACTER", "SET"):
            self.charset = item.take().text
        elif item.accept("COLLATE"):
            self.collation = item.take().text
        elif item.accept("GENERATED", "ALWAYS", "AS"):
            self.generated = self.read_generated()
        elif item.accept("DEFAULT"):
            self.default = self.read_default()
        elif item.accept("AUTO_INCREMENT"):
            self.identity = "autoincrement"
        elif item.accept("COMMENT"):
            self.comment = unquote_text(item.take().text)
        elif item.accept("CHECK"):
            self.check = item.group().text()
        elif not item.accept("NULL"):
            self.extra.append(self.read_attribute())

    def read_attribute(self) -> str:
        """Return an attribute that models do not have; what is in a comment for versions of the server is one."""
        item = self.item
        start = item.position
        if item.take().kind == "hint":
            while item.take().kind != "hint":
                pass
        return item.since(start)

    def read_generated(self) -> Generated | None:
        """Return how the column is computed; None for one of the period of a system-versioned table."""
        item = self.item
        if item.accept("ROW", "START") or item.accept("ROW", "END"):
            return None
        expression = item.group().text()
        return Generated(expression=expression, stored=item.take().word in ("STORED", "PERSISTENT"))

    def read_default(self) -> str | None:
        """Return the default value with ON UPDATE after it; None for NULL, which every nullable column has."""
        item = self.item
        start = item.position
        while item.more and item.next.word not in AFTER_DEFAULT and item.next.kind != "hint":
            if item.next.kind == "open":
                item.group()
            else:
                item.take()
        text = item.since(start)
        return None if text == "NULL" else text


def plain_type(kind: str) -> str:
    """Return a type without the display width of integers; `tinyint(1)` is a boolean.

    Source: https://mariadb.com/kb/en/numeric-data-type-overview/; MySQL prints none since 8.0.19.
    """
    if kind == BOOLEAN or kind.endswith("zerofill"):
        return kind
    return "year" if YEAR.match(kind) else DISPLAY_WIDTH.sub(r"\1", kind)


def is_text(kind: str) -> bool:
    """Return whether columns of a type have a collation."""
    return kind.startswith(("char", "varchar", "enum", "set")) or kind.endswith("text")


def read_foreign_key(item: Item, name: str) -> ForeignKey:
    """Read a foreign key, from its columns on."""
    columns = tuple(key.column or "" for key in read_keys(item.group()))
    item.accept("REFERENCES")
    to_table = item.name()
    while item.more and item.next.kind != "open":
        # The table is in another database, whose name precedes it.
        item.take() if item.next.kind == "word" else None
        if item.next.kind == "name":
            to_table = f"{to_table}.{item.name()}"
    to_columns = tuple(key.column or "" for key in read_keys(item.group()))
    return ForeignKey(
        name=name,
        columns=columns,
        to_table=to_table,
        to_columns=to_columns,
        on_delete=read_action(item, "DELETE"),
        on_update=read_action(item, "UPDATE"),
        sql=item.text(),
    )


def read_action(item: Item, event: str) -> str | None:
    """Read the action of a foreign key on an event; "" for the default, which some servers print."""
    if not item.accept("ON", event):
        return None
    words = [item.take().word]
    if words[0] in ("SET", "NO"):
        words.append(item.take().word)
    action = " ".join(words)
    return None if action in NO_ACTION else action


def read_index(item: Item) -> Index:
    """Read an index, from its name on."""
    name = item.name()
    keys = read_keys(item.group())
    columns = tuple(dict.fromkeys(name for key in keys for name in columns_of(key)))
    method, options = "", []
    while item.more:
        if item.accept("USING"):
            found = item.take().text.lower()
            method = "" if found == "btree" else found
        else:
            start = item.position
            item.take()
            if start + 1 < len(item.tokens) and item.next.kind == "text":
                item.take()
            options.append(item.since(start))
    return Index(name=name, keys=keys, method=method, options=tuple(options), columns=columns, sql=item.text())


def read_keys(item: Item) -> tuple[IndexKey, ...]:
    """Read the keys in the brackets of an index: columns, the first characters of columns, or expressions."""
    return tuple(read_key(Item(item.sql, tokens)) for tokens in split(item.tokens))


def read_key(item: Item) -> IndexKey:
    if item.next.kind == "open":
        expression = item.group().text()
        return IndexKey(expression=expression, order=item.rest())
    column = item.name()
    prefix = f"({item.group().text()})" if item.more and item.next.kind == "open" else None
    order = item.rest()
    return IndexKey(column=column, opclass=prefix, order="" if order == "ASC" else order)


def columns_of(key: IndexKey) -> tuple[str, ...]:
    """Return the columns that one key of an index reads."""
    return (key.column,) if key.column else names_in(key.expression or "")
