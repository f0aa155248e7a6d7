"""A list in pages: page by page, or all items by iteration."""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Generic, TypeVar

from batchdrop.batches.errors import UnclearAnswer

T = TypeVar("T")

#: The items of a page, and the token of the next one, None at the end.
Page = tuple[Sequence[T], str | None]

#: How many pages in a row may be empty. A filter leaves some empty.
MAX_EMPTY = 1000


class Walk:
    """Checks that a walk through a list comes to an end."""

    def __init__(self, asked: str | None = None) -> None:
        """
        Args:
            asked: the token of the first page, if it has one.
        """
        self._tokens = {asked}
        self._empty = 0

    def check(self, page: Page[Any]) -> None:
        """
        Raises:
            UnclearAnswer: a page names an earlier one as the next, or too many pages in
                a row are empty.
        """
        items, token = page
        if token is None:
            return
        self._empty = 0 if items else self._empty + 1
        wrong = ""
        if token in self._tokens:
            wrong = f"page {len(self._tokens)} names as the next one a page before it"
        elif self._empty > MAX_EMPTY:
            wrong = f"{MAX_EMPTY:,} pages after another are empty, and more are to come"
        if wrong:
            raise UnclearAnswer(f"the list doesn't end: {wrong}", sent=True)
        self._tokens.add(token)


class _Pages(Generic[T]):
    """
    The current page.

    Attributes:
        page: its items; may be empty though more follow.
        name: what is listed, such as "batch_jobs".
        page_size: the number of items asked for a page, else that of this page.
        config: the options of the list, with the token of the next page.
    """

    def __init__(
        self, name: str, first: Page[T], config: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self._asked = {k: v for k, v in (config or {}).items() if v is not None}
        self._way = Walk(self._asked.get("page_token"))
        self._take(first)

    def _take(self, page: Page[T]) -> None:
        self._way.check(page)
        self.page, self._token = page

    @property
    def page_size(self) -> int:
        return int(self._asked.get("page_size", len(self.page)))

    @property
    def config(self) -> dict[str, Any]:
        return {**self._asked, "page_token": self._token}

    def has_next_page(self) -> bool:
        """True if there is a page after this one."""
        return self._token is not None

    def _next_token(self) -> str:
        if self._token is None:
            raise IndexError("No more pages to fetch.")
        return self._token

    def __len__(self) -> int:
        return len(self.page)

    def __getitem__(self, index: int) -> T:
        return self.page[index]


class Pager(_Pages[T]):
    """
    Iterates over the items of this page and of all that follow, and reads each page
    when it is reached. An empty page with a token doesn't end the list. A list that
    repeats a page, or continues without items, raises UnclearAnswer.

        >>> pager = Pager("jobs", ([1, 2], None), lambda token: ([], None))
        >>> list(pager), pager.has_next_page()
        ([1, 2], False)
    """

    def __init__(
        self,
        name: str,
        first: Page[T],
        fetch: Callable[[str], Page[T]],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, first, config)
        self._fetch = fetch
        self._walk: Iterator[T] | None = None

    def next_page(self) -> Sequence[T]:
        """Goes to the next page; IndexError if this was the last."""
        self._take(self._fetch(self._next_token()))
        return self.page

    def __iter__(self) -> Iterator[T]:
        yield from self.page
        while self.has_next_page():
            yield from self.next_page()

    def __next__(self) -> T:
        if self._walk is None:
            self._walk = iter(self)
        return next(self._walk)


class AsyncPager(_Pages[T]):
    """Like Pager, with `async for`, and `await` before `next_page()`."""

    def __init__(
        self,
        name: str,
        first: Page[T],
        fetch: Callable[[str], Awaitable[Page[T]]],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, first, config)
        self._fetch = fetch
        self._walk: AsyncIterator[T] | None = None

    async def next_page(self) -> Sequence[T]:
        """Goes to the next page; IndexError if this was the last."""
        self._take(await self._fetch(self._next_token()))
        return self.page

    async def __aiter__(self) -> AsyncIterator[T]:
        for item in self.page:
            yield item
        while self.has_next_page():
            for item in await self.next_page():
                yield item

    async def __anext__(self) -> T:
        if self._walk is None:
            self._walk = self.__aiter__()
        return await anext(self._walk)
