"""The methods as tools of the Model Context Protocol: their names, what they do, what they take."""

import re
from collections.abc import Mapping

from mcp_types import Tool, ToolAnnotations

from server.rpc.registry import RPCS, Rpc
from server.web import schemas

# The first word of methods that take nothing away, and whose repetition is not the same as one call.
ADDING = ("Create", "Complete", "Import")


def name(rpc: Rpc) -> str:
    """`create_social_post`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", rpc.descriptor.name).lower()


def tool(rpc: Rpc) -> Tool:
    """The method as clients are told of it."""
    return Tool(
        name=name(rpc),
        description=schemas.COMMENTS[rpc.descriptor.full_name],
        input_schema=schemas.sent(rpc.descriptor.input_type, schemas.bounds(rpc)),
        annotations=_annotations(rpc),
    )


def _annotations(rpc: Rpc) -> ToolAnnotations:
    """Hints. By those of the protocol a change of what is there is destructive, too."""
    adds = rpc.writes and rpc.descriptor.name.startswith(ADDING)
    return ToolAnnotations(
        read_only_hint=not rpc.writes, destructive_hint=rpc.writes and not adds, idempotent_hint=not adds
    )


# A tool has one answer, so a method that streams is none.
METHODS: Mapping[str, Rpc] = {name(rpc): rpc for rpc in RPCS.values() if not rpc.streams}
TOOLS: Mapping[str, Tool] = {name: tool(rpc) for name, rpc in METHODS.items()}
