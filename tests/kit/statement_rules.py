"""What every statement must hold, as PostgreSQL's own parser reads it: nobody can forget the project, and a
distributed PostgreSQL can run it on one node (decision 19)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from pglast.parser import parse_sql_json

from server.storage.statements import Prepared

# The tables whose rows live with their project.
SPREAD = {
    "audit_event",
    "idempotent_request",
    "platform_app",
    "rate_limit",
    "social_account",
    "social_account_token",
    "social_post",
    "social_post_target",
    "token_revocation",
}

# The fields of a node of the parsed statement. In a list nodes stand under their kind: {"ColumnRef": {…}}.
Node = dict[str, Any]


def violations(prepared: Prepared) -> list[str]:
    """What is wrong with a statement, in words."""
    # As JSON: the parser takes twenty times as long to make objects, and there are thousands of lists.
    [parsed] = orjson.loads(parse_sql_json(prepared.prepare))["stmts"]
    return list(_violations(parsed["stmt"]["PrepareStmt"]["query"], prepared))


def _violations(query: Node, prepared: Prepared) -> Iterator[str]:
    nodes = list(_walk(query))
    ctes = {node["ctename"] for kind, node in nodes if kind == "CommonTableExpr"}
    for kind, node in nodes:
        scope = _Scope(ctes)
        scope.read(kind, node)
        for table in scope.tables:
            alone = len(scope.tables) == 1
            if not any(_is_project(one, table.alias, alone, prepared) for one in scope.conditions):
                yield f"{table.name} {table.alias} is not held to $project"
        if kind == "InsertStmt" and node["relation"]["relname"] in SPREAD:
            yield from _wrong_insert(node, prepared)
        if kind == "UpdateStmt" and "project_id" in _names(node["targetList"]):
            yield "an UPDATE moves a row to another project"
        for returned in node.get("returningClause", {}).get("exprs", ()):
            if not returned["ResTarget"]["val"].keys() & {"ColumnRef", "A_Const"}:
                yield "RETURNING has more than columns and constants"


class _Table(NamedTuple):
    name: str
    alias: str


class _Scope:
    """The tables of a project that a query names itself, not in one inside it, and what holds for them."""

    def __init__(self, ctes: set[str]) -> None:
        self._ctes = ctes
        self.tables: list[_Table] = []
        self.conditions: list[Node] = []

    def read(self, kind: str, node: Node) -> None:
        """Nothing, if the node is no query that reads rows."""
        if kind not in ("SelectStmt", "UpdateStmt", "DeleteStmt"):
            return
        if kind != "SelectStmt":
            self._add({"RangeVar": node["relation"]})
        for source in node.get("fromClause", node.get("usingClause", ())):
            self._add(source)
        self.conditions += _conjuncts(node.get("whereClause"))

    def _add(self, source: Node) -> None:
        match source:
            case {"RangeVar": {"relname": name, **rest}} if name in SPREAD and name not in self._ctes:
                self.tables.append(_Table(name, rest["alias"]["aliasname"] if "alias" in rest else name))
            case {"JoinExpr": join}:
                # The condition of an outer join leaves the rows of one side as they are.
                assert join["jointype"] == "JOIN_INNER", "teach these rules about outer joins"
                self._add(join["larg"])
                self._add(join["rarg"])
                self.conditions += _conjuncts(join.get("quals"))


def _conjuncts(condition: Node | None) -> list[Node]:
    match condition:
        case None:
            return []
        case {"BoolExpr": {"boolop": "AND_EXPR", "args": args}}:
            return [part for argument in args for part in _conjuncts(argument)]
    return [condition]


def _is_project(condition: Node, alias: str, alone: bool, prepared: Prepared) -> bool:
    """Whether it is `alias.project_id = $project`; a table that is alone needs no alias."""
    match condition:
        case {
            "A_Expr": {"name": [{"String": {"sval": "="}}], "lexpr": {"ColumnRef": column}, "rexpr": value}
        }:
            path = [part["String"]["sval"] for part in column["fields"] if "String" in part]
            named = path == [alias, "project_id"] or (alone and path == ["project_id"])
            return named and _is_parameter(value, prepared)
    return False


def _is_parameter(value: Node, prepared: Prepared) -> bool:
    """Whether it is the parameter `project`, with or without a cast."""
    match value:
        case {"TypeCast": {"arg": {"ParamRef": {"number": number}}}} | {"ParamRef": {"number": number}}:
            return prepared._params[number - 1] in ("project", "project_id")
    return False


def _wrong_insert(node: Node, prepared: Prepared) -> Iterator[str]:
    table, columns = node["relation"]["relname"], _names(node["cols"])
    if "project_id" not in columns:
        yield f"INSERT INTO {table} without the project"
        return
    select = node["selectStmt"]["SelectStmt"]
    rows = [row["List"]["items"] for row in select.get("valuesLists", ())]
    rows = rows or [[target["ResTarget"]["val"] for target in select["targetList"]]]
    if not all(_is_parameter(row[columns.index("project_id")], prepared) for row in rows):
        yield f"INSERT INTO {table} with another project than $project"
    arbiter = node.get("onConflictClause", {}).get("infer")
    if arbiter and "project_id" not in [element["IndexElem"]["name"] for element in arbiter["indexElems"]]:
        yield "ON CONFLICT without the project"


def _names(targets: list[Node]) -> list[str]:
    return [target["ResTarget"]["name"] for target in targets]


def _walk(value: Any) -> Iterator[tuple[str, Node]]:
    """All nodes with their kinds."""
    if isinstance(value, list):
        for part in value:
            yield from _walk(part)
    elif isinstance(value, dict):
        for name, inner in value.items():
            # Kinds begin with a capital, names of fields don't.
            if name[0].isupper():
                yield name, inner
            yield from _walk(inner)
