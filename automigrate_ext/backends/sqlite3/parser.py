"""Parse SQLite's CREATE TABLE and CREATE INDEX statements.

SQLite stores a definition as the text of its statement, and nothing else. The grammar is that of
https://sqlite.org/lang_createtable.html and https://sqlite.org/lang_createindex.html, with what parse.y accepts
besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import lru_cache

from automigrate_ext.backends.sqlite3.tokens import (
    Names,
    Token,
    UnreadableSQL,
    canonical,
    closing,
    collation_word,
    fold,
    is_operator,
    quote_name,
    quote_text,
    split_at_commas,
    tokenize,
    upper,
    without_brackets,
)
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

#: The number of parsed statements that are kept, so that the same text is not parsed again for the other schema.
CACHE_SIZE = 32768
#: The beginnings of statements of Django's.
HEAD = re.compile(r'CREATE TABLE "(?P<name>(?:[^"]|"")+)" \(')
INDEX_HEAD = re.compile(
    r'CREATE (?P<unique>UNIQUE )?INDEX "(?P<name>(?:[^"]|"")+)" ON "(?P<table>(?:[^"]|"")+)" (?=\()'
)
#: The marks of comments, in which a comma divides nothing.
COMMENTS = ("--", "/*")
#: The words at which the type of a column ends.
AFTER_TYPE = frozenset(
    ("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "AS")
)
#: The words that begin a constraint of the table, in the place of a column.
TABLE_CONSTRAINTS = frozenset(("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"))
BEHIND = Token("end", "", "", -1, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedUnique(Unique):
    """A unique constraint of a table whose columns have a collation or an order of their own in it."""

    keys: tuple[IndexKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTable:
    """The content of a CREATE TABLE statement; `options` are the words after the brackets."""

    table: Table
    options: tuple[str, ...]
    names: Names = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedIndex:
    """The content of a CREATE INDEX statement: the table, and the index or unique constraint that it makes."""

    table: str
    noun: Index | Unique


@lru_cache(CACHE_SIZE)
def parse_table(sql: str) -> ParsedTable:
    """Parse a CREATE TABLE statement. Raises `UnreadableSQL`."""
    pieces = pieces_of(sql)
    if pieces is not None:
        with suppress(UnreadableSQL):
            return parse_pieces(sql, pieces)
    return TableReader(sql).table()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The texts of a CREATE TABLE: the name, each column and constraint, and what follows their brackets."""

    name: str
    definitions: tuple[str, ...]
    options: str


def pieces_of(sql: str) -> Pieces | None:
    """Return the pieces of a statement as Django writes it; None where it may be written otherwise."""
    head = HEAD.match(sql)
    end = sql.rfind(")")
    if head is None or end < head.end() or any(mark in sql for mark in COMMENTS):
        return None
    definitions: list[str] = []
    begun = ""
    for part in sql[head.end() : end].split(", "):
        begun = f"{begun}, {part}" if begun else part
        if is_whole(begun):
            definitions.append(begun)
            begun = ""
    if begun:
        return None
    name = head["name"].replace('""', '"')
    return Pieces(name=name, definitions=tuple(definitions), options=sql[end + 1 :])


@lru_cache(CACHE_SIZE)
def is_whole(sql: str) -> bool:
    """Return whether a text ends with a whole token, outside of brackets."""
    try:
        tokens = tokenize(sql)
    except UnreadableSQL:
        return False
    depth = 0
    for token in tokens:
        depth += is_operator(token, "(") - is_operator(token, ")")
        if depth < 0:
            return False
    return depth == 0 and bool(tokens)


def parse_pieces(sql: str, pieces: Pieces) -> ParsedTable:
    """Parse the pieces of a statement; equal ones, of other tables too, are parsed once. Raises `UnreadableSQL`."""
    reader = TableReader(sql, ())
    for number, text in enumerate(pieces.definitions):
        reader.add(parse_definition(text, number == 0))
    options = TableReader(pieces.options).options() if pieces.options.strip(" ;") else ()
    return reader.finished(pieces.name, options)


@lru_cache(CACHE_SIZE)
def parse_definition(sql: str, comes_first: bool) -> TableReader:
    """Parse a column, or constraints if it does not come first. Raises `UnreadableSQL`."""
    reader = TableReader(sql)
    if comes_first or reader.key not in TABLE_CONSTRAINTS:
        reader.column()
    while reader.key in TABLE_CONSTRAINTS:
        reader.table_constraint()
    reader.expect_end()
    return reader


@lru_cache(CACHE_SIZE)
def parse_index(sql: str, names: Names) -> ParsedIndex:
    """Parse a CREATE INDEX statement on the table that has these names. Raises `UnreadableSQL`."""
    head = INDEX_HEAD.match(sql)
    if head is not None:
        # Names differ, and what follows them is often the same.
        rest = sql[head.end() :]
        with suppress(UnreadableSQL):
            name, table = (head[part].replace('""', '"') for part in ("name", "table"))
            return IndexReader(rest, names, known_tokens(rest)).rest(sql, name, table, unique=bool(head["unique"]))
    return IndexReader(sql, names).index()


@lru_cache(CACHE_SIZE)
def known_tokens(sql: str) -> tuple[Token, ...]:
    """Return the tokens of a text. Raises `UnreadableSQL`."""
    return tuple(tokenize(sql))


def parse_column(sql: str, names: Names) -> Column:
    """Parse the definition of one column of the table that has these names. Raises `UnreadableSQL`."""
    reader = TableReader(sql)
    reader.column()
    reader.expect_end()
    return reader.columns[0].noun(names)


def parse_constraint(sql: str, names: Names) -> Constraint:
    """Parse one constraint clause of the table that has these names. Raises `UnreadableSQL`."""
    reader = TableReader(sql)
    reader.table_constraint()
    reader.expect_end()
    return reader.constraints[0](names)


class Reader:
    """Tokens, and a position among them."""

    def __init__(self, sql: str, tokens: Sequence[Token] | None = None) -> None:
        self.sql = sql
        self.tokens = tokenize(sql) if tokens is None else list(tokens)
        while self.tokens and is_operator(self.tokens[-1], ";"):
            self.tokens.pop()
        self.keys = [token.value if token.kind in ("word", "operator") else "" for token in self.tokens]
        self.keys += ("", "")
        self.position = 0

    @property
    def token(self) -> Token:
        """The token at the position; after the last one, a token of the kind "end"."""
        return self.tokens[self.position] if self.position < len(self.tokens) else BEHIND

    @property
    def key(self) -> str:
        """The word or operator at the position, "" for anything else."""
        return self.keys[self.position]

    def next(self) -> Token:
        """Take the token at the position."""
        token = self.token
        if token is BEHIND:
            raise self.error()
        self.position += 1
        return token

    def accept(self, *words: str) -> bool:
        """Take these words if they come next."""
        found = self.keys[self.position : self.position + len(words)] == list(words)
        if found:
            self.position += len(words)
        return found

    def expect(self, *words: str) -> None:
        """Take these words. Raises `UnreadableSQL` where others follow."""
        if not self.accept(*words):
            raise self.error()

    def expect_end(self) -> None:
        """Raise `UnreadableSQL` where tokens are left."""
        if self.token is not BEHIND:
            raise self.error()

    def name(self) -> str:
        """Take an identifier."""
        if self.token.kind not in ("word", "quoted", "string"):
            raise self.error()
        return self.next().name

    def qualified_name(self) -> str:
        """Take an identifier, with or without the name of a schema before it."""
        name = self.name()
        return self.name() if self.accept(".") else name

    def brackets(self) -> Sequence[Token]:
        """Take the tokens in brackets."""
        if self.key != "(":
            raise self.error()
        opening = self.position
        end = closing(self.tokens, opening)
        self.position = end + 1
        return self.tokens[opening + 1 : end]

    def since(self, position: int) -> str:
        """Return the text from the token at `position` up to the last one taken."""
        if position == self.position:
            return ""
        return self.sql[self.tokens[position].start : self.tokens[self.position - 1].end]

    def error(self) -> UnreadableSQL:
        """Return an error that shows where parsing stopped."""
        place = self.sql[self.token.start :] if self.token is not BEHIND else "the end"
        return UnreadableSQL(f"cannot read {self.sql!r} from {place[:40]!r} on")


@dataclass(slots=True, kw_only=True)
class RawColumn:
    """A column during parsing: its expressions are read once all columns are known."""

    name: str
    type: str
    pieces: list[str]
    null: bool = True
    collation: str | None = None
    default: Sequence[Token] = ()
    default_sql: str | None = None
    generated: Sequence[Token] = ()
    stored: bool = False
    #: The column as a noun where that does not depend on the names of its table.
    constant: Column | None = None

    def noun(self, names: Names) -> Column:
        """Return the column as a noun."""
        if self.generated or self.default:
            return self.new_noun(names)
        if self.constant is None:
            self.constant = self.new_noun(names)
        return self.constant

    def new_noun(self, names: Names) -> Column:
        generated: Generated | None = None
        reads: tuple[str, ...] = ()
        if self.generated:
            expression = canonical(self.generated, names)
            generated = Generated(expression=expression.text, stored=self.stored)
            reads = expression.columns
        return Column(
            name=self.name,
            type=self.type,
            null=self.null,
            default=canonical_default(self.default, names),
            generated=generated,
            collation=self.collation,
            sql=" ".join(self.pieces),
            default_sql=self.default_sql,
            reads=reads,
            collatable=affinity(self.type) == "TEXT",
        )


class TableReader(Reader):
    """Parses a CREATE TABLE statement, or one clause of it."""

    def __init__(self, sql: str, tokens: Sequence[Token] | None = None) -> None:
        super().__init__(sql, tokens)
        self.columns: list[RawColumn] = []
        self.constraints: list[Callable[[Names], Constraint]] = []
        self.primary_key: PrimaryKey | None = None
        self.autoincrement = False

    def table(self) -> ParsedTable:
        """Return the whole statement."""
        self.expect("CREATE")
        _ = self.accept("TEMP") or self.accept("TEMPORARY")
        self.expect("TABLE")
        self.accept("IF", "NOT", "EXISTS")
        name = self.qualified_name()
        self.expect("(")
        self.definitions()
        self.expect(")")
        options = self.options()
        self.expect_end()
        return self.finished(name, options)

    def add(self, definition: TableReader) -> None:
        """Add what another reader has read."""
        self.columns += definition.columns
        self.constraints += definition.constraints
        self.primary_key = definition.primary_key or self.primary_key
        self.autoincrement = self.autoincrement or definition.autoincrement

    def finished(self, name: str, options: tuple[str, ...]) -> ParsedTable:
        """Return the table of that name and options with everything that was read."""
        names = Names.of(name, [(column.name, column.collation) for column in self.columns])
        return ParsedTable(table=self.noun(name, names, options), options=options, names=names)

    def definitions(self) -> None:
        """Parse the columns, then the constraints; a comma between two constraints may be missing."""
        self.column()
        while self.key != ")":
            comma = self.accept(",")
            if self.key in TABLE_CONSTRAINTS:
                self.table_constraint()
            elif comma:
                self.column()
            else:
                raise self.error()

    def options(self) -> tuple[str, ...]:
        """Parse the words after the brackets."""
        options: list[str] = []
        while self.token is not BEHIND:
            if options:
                self.expect(",")
            if self.accept("WITHOUT"):
                options.append(f"WITHOUT {upper(self.name())}")
            else:
                options.append(upper(self.name()))
        return tuple(options)

    def noun(self, name: str, names: Names, options: tuple[str, ...]) -> Table:
        """Return the table as a noun, now that all its columns are known."""
        key = self.primary_key and evolve(self.primary_key, columns=own_columns(self.primary_key.columns, names))
        columns = [column.noun(names) for column in self.columns]
        for position, column in enumerate(columns):
            if key and column.name in key.columns:
                columns[position] = self.key_column(column, key, options)
        return Table(
            name=name,
            columns=tuple(columns),
            primary_key=key,
            constraints=tuple(constraint(names) for constraint in self.constraints),
            sql=(self.sql,),
        )

    def key_column(self, column: Column, key: PrimaryKey, options: tuple[str, ...]) -> Column:
        """Return a column of the primary key; only some kinds of key forbid NULL by themselves.

        See https://sqlite.org/lang_createtable.html#the_primary_key
        """
        is_rowid = len(key.columns) == 1 and column.type == "integer"
        forbids_null = is_rowid or "WITHOUT ROWID" in options or "STRICT" in options
        return evolve(
            column,
            null=column.null and not forbids_null,
            identity="autoincrement" if self.autoincrement else None,
        )

    # Columns

    def column(self) -> None:
        """Parse a column with its type and constraints."""
        start = self.position
        name = self.name()
        type_name = self.type_name()
        column = RawColumn(name=name, type=type_name, pieces=[self.since(start)])
        self.columns.append(column)
        while self.key not in (",", ")") and self.token is not BEHIND:
            begun = self.position
            constraint_name = ""
            while self.accept("CONSTRAINT"):
                constraint_name = self.name()
            if constraint_name and (self.key in (",", ")") or self.token is BEHIND):
                break
            self.column_constraint(column, constraint_name, begun)

    def type_name(self) -> str:
        """Parse the declared type: words in lower case with their numbers in brackets, "" for none."""
        words = []
        while self.token.kind in ("word", "quoted", "string") and self.key not in AFTER_TYPE:
            if self.keys[self.position : self.position + 2] == ["GENERATED", "ALWAYS"]:
                break
            words.append(fold(self.next().name))
        if words and self.key == "(":
            sizes = ("".join(token.text for token in part) for part in split_at_commas(self.brackets()))
            words[-1] += f"({','.join(sizes)})"
        return " ".join(words)

    def column_constraint(self, column: RawColumn, name: str, begun: int) -> None:
        """Parse one constraint of a column, by its first word; its name begins at the position `begun`."""
        start = self.position
        word = self.next().value if self.key else ""
        if word in ("PRIMARY", "UNIQUE", "CHECK", "REFERENCES", "DEFERRABLE") or (
            word == "NOT" and self.key == "DEFERRABLE"
        ):
            self.column_object(column, word, name, start)
        elif word in ("DEFAULT", "NOT", "NULL", "COLLATE", "GENERATED", "AS"):
            self.column_attribute(column, word)
            column.pieces.append(self.since(begun))
        else:
            self.position = start
            raise self.error()

    def column_attribute(self, column: RawColumn, word: str) -> None:
        """Parse a default, NULL or NOT NULL, a collation or the expression that computes the column."""
        if word == "DEFAULT":
            start = self.position
            column.default = self.default()
            column.default_sql = self.since(start)
        elif word == "NOT":
            self.expect("NULL")
            self.conflict()
            column.null = False
        elif word == "NULL":
            self.conflict()
        elif word == "COLLATE":
            collation = upper(self.name())
            column.collation = None if collation == "BINARY" else collation
        else:
            if word == "GENERATED":
                self.expect("ALWAYS", "AS")
            column.generated = self.brackets()
            column.stored = self.accept("STORED")
            if not column.stored:
                self.accept("VIRTUAL")

    def default(self) -> Sequence[Token]:
        """Parse the value after DEFAULT."""
        start = self.position
        if self.key == "(":
            self.brackets()
        else:
            _ = self.accept("+") or self.accept("-")
            self.next()
        return self.tokens[start : self.position]

    def column_object(self, column: RawColumn, word: str, name: str, start: int) -> None:
        """Parse a key, unique constraint, check or reference that follows its column."""
        if word == "PRIMARY":
            self.expect("KEY")
            _ = self.accept("ASC") or self.accept("DESC")
            self.conflict()
            self.autoincrement = self.accept("AUTOINCREMENT")
            self.primary_key = PrimaryKey(columns=(column.name,), name=name, sql=self.since(start))
        elif word == "UNIQUE":
            self.add_unique([IndexKey(column=column.name)], name, self.conflict())
        elif word == "CHECK":
            self.add_check(name)
        elif word == "REFERENCES":
            self.add_reference((column.name,), name)
        else:
            raise self.error()

    # Constraints

    def table_constraint(self) -> None:
        """Parse a constraint of the table; a name without a constraint after it is allowed and has no effect."""
        start = self.position
        name = self.name() if self.accept("CONSTRAINT") else ""
        if self.accept("PRIMARY", "KEY"):
            items = self.brackets()
            if items and items[-1].kind == "word" and items[-1].value == "AUTOINCREMENT":
                self.autoincrement = True
                items = items[:-1]
            self.conflict()
            columns = tuple(key.column or "" for key in self.keys_of(items))
            self.primary_key = PrimaryKey(columns=columns, name=name, sql=self.since(start))
        elif self.accept("UNIQUE"):
            keys = self.keys_of(self.brackets())
            self.add_unique(keys, name, self.conflict())
        elif self.accept("CHECK"):
            self.add_check(name)
        elif self.accept("FOREIGN", "KEY"):
            columns = tuple(part[0].name for part in split_at_commas(self.brackets()))
            self.expect("REFERENCES")
            self.add_reference(columns, name)
        elif not name:
            raise self.error()

    def keys_of(self, tokens: Sequence[Token]) -> list[IndexKey]:
        """Parse the columns of a key or unique constraint."""
        return [raw_key(part) for part in split_at_commas(tokens)]

    def add_unique(self, keys: Sequence[IndexKey], name: str, conflict: str) -> None:
        """Add a unique constraint."""

        def noun(names: Names) -> Unique:
            own = tuple(plain_key(key, names) for key in keys)
            columns = tuple(key.column or "" for key in own)
            sql = clause(name, f"UNIQUE ({', '.join(map(key_sql, own))})", conflict)
            if own == tuple(IndexKey(column=column) for column in columns):
                return Unique(columns=columns, name=name, sql=sql)
            return KeyedUnique(columns=columns, keys=own, name=name, sql=sql)

        self.constraints.append(noun)

    def add_check(self, name: str) -> None:
        """Add a check, whose expression comes next."""
        start = self.position
        tokens = self.brackets()
        text = self.since(start)
        sql = clause(name, f"CHECK {text}", self.conflict())

        def noun(names: Names) -> Check:
            expression = canonical(tokens, names)
            # In another table's definition the text would not name the right table any more.
            own = sql if "." not in text else clause(name, f"CHECK ({expression.text})")
            return Check(expression=expression.text, columns=expression.columns, name=name, sql=own)

        self.constraints.append(noun)

    def add_reference(self, columns: tuple[str, ...], name: str) -> None:
        """Add a foreign key, whose target comes next."""
        start = self.position
        to_table = self.name()
        to_columns: tuple[str, ...] = ()
        if self.key == "(":
            to_columns = tuple(part[0].name for part in split_at_commas(self.brackets()))
        on_delete = self.reference_actions()
        deferrable = self.deferrable()
        text = self.since(start)

        def noun(names: Names) -> ForeignKey:
            own = own_columns(columns, names)
            return ForeignKey(
                columns=own,
                to_table=to_table,
                to_columns=to_columns,
                on_delete=on_delete,
                deferrable=deferrable,
                name=name,
                sql=clause(name, f"FOREIGN KEY ({', '.join(map(quote_name, own))}) REFERENCES {text}"),
            )

        self.constraints.append(noun)

    def reference_actions(self) -> str | None:
        """Parse what follows the target of a reference, and return the action on delete."""
        on_delete = None
        while self.key in ("ON", "MATCH"):
            if self.accept("MATCH"):
                self.name()
                continue
            self.expect("ON")
            event = upper(self.name())
            action = upper(self.name())
            if action in ("SET", "NO"):
                action += f" {upper(self.name())}"
            if event == "DELETE":
                on_delete = None if action == "NO ACTION" else action
        return on_delete

    def deferrable(self) -> str | None:
        """Parse the time at which a reference is checked."""
        negated = self.accept("NOT", "DEFERRABLE")
        if not negated and not self.accept("DEFERRABLE"):
            return None
        deferred = self.accept("INITIALLY", "DEFERRED")
        if not deferred:
            self.accept("INITIALLY", "IMMEDIATE")
        if negated:
            return None
        return "deferred" if deferred else "immediate"

    def conflict(self) -> str:
        """Parse the action on a conflict, if there is one."""
        return f"ON CONFLICT {upper(self.name())}" if self.accept("ON", "CONFLICT") else ""


class IndexReader(Reader):
    """Parses a CREATE INDEX statement."""

    def __init__(self, sql: str, names: Names, tokens: Sequence[Token] | None = None) -> None:
        super().__init__(sql, tokens)
        self.names = names

    def index(self) -> ParsedIndex:
        """Return the whole statement."""
        self.expect("CREATE")
        unique = self.accept("UNIQUE")
        self.expect("INDEX")
        self.accept("IF", "NOT", "EXISTS")
        name = self.qualified_name()
        self.expect("ON")
        return self.rest(self.sql, name, self.name(), unique=unique)

    def rest(self, sql: str, name: str, table: str, *, unique: bool) -> ParsedIndex:
        """Return the statement whose beginning has been read."""
        parts = split_at_commas(self.brackets())
        where: Sequence[Token] = ()
        if self.accept("WHERE"):
            where = self.tokens[self.position :]
            self.position = len(self.tokens)
        self.expect_end()
        noun = self.noun(parts, where, unique=unique)
        return ParsedIndex(table=table, noun=evolve(noun, name=name, sql=sql))

    def noun(self, parts: Sequence[Sequence[Token]], where: Sequence[Token], *, unique: bool) -> Index | Unique:
        """Return the index as a noun without a name: a unique one over plain columns is a unique constraint."""
        keys: list[IndexKey] = []
        columns: list[str] = []
        for part in parts:
            key, reads = index_key(part, self.names)
            keys.append(key)
            columns.extend(reads)
        plain = all(key == IndexKey(column=key.column) for key in keys)
        if unique and plain and not where:
            return Unique(columns=tuple(columns))
        condition = canonical(where, self.names) if where else None
        if condition:
            columns.extend(condition.columns)
        return Index(
            keys=tuple(keys),
            unique=unique,
            condition=condition and condition.text,
            columns=tuple(dict.fromkeys(columns)),
        )


def split_key(tokens: Sequence[Token]) -> tuple[Sequence[Token], str | None, str]:
    """Return a key's own tokens, its collation and its order."""
    tokens, order = without_order(tokens)
    tokens = without_brackets(tokens)
    collation = None
    while ends_with_collation(tokens) and is_operand(tokens[:-2]):
        collation = collation or upper(tokens[-1].name)
        tokens = without_brackets(tokens[:-2])
    return tokens, collation, order


def ends_with_collation(tokens: Sequence[Token]) -> bool:
    """Return whether the last words are COLLATE and a name."""
    return len(tokens) > 2 and tokens[-2].kind == "word" and tokens[-2].value == "COLLATE"


def is_operand(tokens: Sequence[Token]) -> bool:
    """Return whether COLLATE after the tokens applies to all of them: it binds closer than any operator."""
    opening = 0 if is_operator(tokens[0], "(") else 1
    is_closed = len(tokens) > opening and is_operator(tokens[opening], "(")
    return len(tokens) == 1 or (is_closed and closing(tokens, opening) == len(tokens) - 1)


def without_order(tokens: Sequence[Token]) -> tuple[Sequence[Token], str]:
    """Return a key's tokens without ASC, DESC and NULLS FIRST or LAST, and "DESC" where that was among them."""
    if len(tokens) > 2 and tokens[-2].kind == "word" and tokens[-2].value == "NULLS":
        tokens = tokens[:-2]
    last = tokens[-1].value if len(tokens) > 1 and tokens[-1].kind == "word" else ""
    if last not in ("ASC", "DESC"):
        return tokens, ""
    return tokens[:-1], "DESC" if last == "DESC" else ""


def raw_key(tokens: Sequence[Token]) -> IndexKey:
    """Return a key of a constraint, which can only be a column."""
    tokens, collation, order = split_key(tokens)
    return IndexKey(column=tokens[0].name, collation=collation, order=order)


def plain_key(key: IndexKey, names: Names) -> IndexKey:
    """Return the key in the column's own spelling, with its collation only where that is another one."""
    column = names.column(key.column or "") or key.column or ""
    return evolve(key, column=column, collation=other_collation(key.collation, column, names))


def index_key(tokens: Sequence[Token], names: Names) -> tuple[IndexKey, tuple[str, ...]]:
    """Return a key of an index, and the columns that it reads."""
    inner, collation, order = split_key(tokens)
    if len(inner) == 1 and (column := names.column(inner[0].name)):
        return IndexKey(column=column, collation=other_collation(collation, column, names), order=order), (column,)
    expression = canonical(inner, names)
    return IndexKey(expression=expression.text, collation=collation, order=order), expression.columns


def other_collation(collation: str | None, column: str, names: Names) -> str | None:
    """Return the collation, or None where the column has the same."""
    return None if collation == (names.collations.get(column) or "BINARY") else collation


def key_sql(key: IndexKey) -> str:
    """Return a key of an index or constraint as SQL."""
    parts = [quote_name(key.column) if key.column else f"({key.expression})"]
    if key.collation:
        parts.append(f"COLLATE {collation_word(key.collation)}")
    if key.order:
        parts.append(key.order)
    return " ".join(parts)


def own_columns(columns: Sequence[str], names: Names) -> tuple[str, ...]:
    """Return the columns as the table spells them."""
    return tuple(names.column(column) or column for column in columns)


def clause(name: str, *parts: str) -> str:
    """Return a constraint as a clause of its table, with its name if it has one."""
    words = [f"CONSTRAINT {quote_name(name)}"] if name else []
    return " ".join([*words, *(part for part in parts if part)])


def canonical_default(tokens: Sequence[Token], names: Names) -> str | None:
    """Return a default in canonical form; one of NULL is none."""
    tokens = without_brackets(tokens)
    if not tokens:
        return None
    if len(tokens) == 2 and tokens[0].text in ("+", "-") and tokens[1].kind == "number":
        return tokens[0].text.replace("+", "") + tokens[1].value
    if len(tokens) > 1:
        return canonical(tokens, names).text
    token = tokens[0]
    if token.kind == "quoted":
        return quote_text(token.value)
    if token.kind != "word":
        return token.text if token.kind == "string" else token.value
    if token.value == "NULL":
        return None
    keyword = token.value in ("TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP")
    return token.value if keyword else quote_text(token.text)


@lru_cache(1024)
def affinity(type_name: str) -> str:
    """Return the affinity of a declared type: https://sqlite.org/datatype3.html#determination_of_column_affinity"""
    name = fold(type_name)
    if "int" in name:
        return "INTEGER"
    if any(word in name for word in ("char", "clob", "text")):
        return "TEXT"
    if "blob" in name or not name:
        return "BLOB"
    if any(word in name for word in ("real", "floa", "doub")):
        return "REAL"
    return "NUMERIC"
