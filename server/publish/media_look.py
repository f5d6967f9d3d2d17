"""A look at media where they are, without fetching them: what they are, and how large."""

import asyncio
import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import httpx2

from server.platforms.failures import NotConnected, PlatformUnreachable
from server.platforms.http import Http, run
from server.publish.media import pixels
from server.publish.media_stream import streamed, unreachable
from server.publish.publisher import PublishFailed

# So much of an image has its size in pixels, unless a camera has put a picture before it.
LOOKED_BYTES = 64 * 1024
AT_ONCE = 8
# More addresses than any platform takes media.
MOST_ADDRESSES = 200


@dataclass(frozen=True, slots=True)
class Looked:
    """A medium: its type by content, and as far as it was seen its bytes, and the pixels of an image."""

    content_type: str
    size: int | None = None
    pixels: tuple[int, int] | None = None


def look_at(
    http: Http, urls: Iterable[str], most_of: Callable[[str], int], until: float
) -> Mapping[str, Looked | PublishFailed]:
    """What is at these addresses, or why there is no medium. Those that don't answer in time are left out.

    `most_of` says how many bytes of a type are worth counting, where a server doesn't say how many they are.
    """
    addresses = list(dict.fromkeys(urls))[:MOST_ADDRESSES]
    return run(_all(http, addresses, most_of, until - time.monotonic()), until + 1) if addresses else {}


async def _all(
    http: Http, urls: list[str], most_of: Callable[[str], int], seconds: float
) -> Mapping[str, Looked | PublishFailed]:
    end, free = asyncio.get_running_loop().time() + seconds, asyncio.Semaphore(AT_ONCE)

    async def one(url: str) -> Looked | PublishFailed | None:
        try:
            async with asyncio.timeout_at(end), free:
                return await _look(http, url, most_of)
        except TimeoutError:
            return None
        except PublishFailed as found:
            return found
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL) as error:
            return unreachable(NotConnected(type(error).__name__))
        except httpx2.RequestError as error:
            return unreachable(PlatformUnreachable(type(error).__name__))
        except PlatformUnreachable as error:
            return unreachable(error)

    looked = await asyncio.gather(*map(one, urls))
    return {url: found for url, found in zip(urls, looked, strict=True) if found is not None}


async def _look(http: Http, url: str, most_of: Callable[[str], int]) -> Looked:
    most = max(most_of("image/png"), most_of("video/mp4"))
    async with streamed(http, url, most, LOOKED_BYTES) as stream:
        size = stream.size
        if size is None:
            size = 0
            async for part in stream.parts:
                size += len(part)
                if size > most_of(stream.content_type):
                    break
        is_image = stream.content_type.startswith("image/")
        return Looked(stream.content_type, size, pixels(io.BytesIO(stream.head)) if is_image else None)
