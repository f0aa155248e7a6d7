"""What a type says may be missing, and a test relies on."""

from typing import TypeVar

T = TypeVar("T")


def there(value: T | None) -> T:
    """The value. Fails when there is none."""
    assert value is not None, "it isn't there"
    return value
