"""The examples use the buckets of the client's tests."""

from tests.client.conftest import bucket as bucket
