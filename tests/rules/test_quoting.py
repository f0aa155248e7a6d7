"""How the API's messages and unforeseen errors are written."""

import pytest

from batchdrop.batches import ClientError
from batchdrop.errors import Unavailable
from batchdrop.quoting import masked, public_text, unquoted


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("The model isn't there, and won't be.", None),
        ("Permission 'aiplatform.batchPredictionJobs.create' denied", None),
        ("denied on '//aiplatform.googleapis.com/projects/p/locations/eu'", None),
        ("Unknown name 'contents[0].parts'", None),
        ("Row 5: 12 errors, code: 3", None),
        ("Unknown name 'partz' at 'contents[0]'", "Unknown name '…' at 'contents[0]'"),
        ('Bad "a \\"quoted\\" word" here', "Bad '…' here"),
        ("never 'closed", "never '…'"),
        ("Can't parse 'it's here' at 3", "Can't parse '…' at 3"),
        ("Not found: gs://bucket/a/b?sig=x now", "Not found: gs://bucket/… now"),
        ("at https://me:word@host/path", "at https://host/…"),
        ('Got {"text": "x"} there', "Got …"),
        ("Could not convert value: some text", "Could not convert value: …"),
        ("Bad request\nsome text", "Bad request …"),
        ("No key AIzaSyA1234567890abcdefgh", "No key …"),
        ("service-123456789012345@x.iam is no key", None),
    ],
)
def test_a_message_of_the_api_is_written_without_what_it_quotes(
    message: str, written: str | None
) -> None:
    assert unquoted(message) == (message if written is None else written)


def test_an_unforeseen_error_is_written_as_its_kind_and_place() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("some text")

    assert public_text(caught.value).startswith("KeyError at test_quoting.py:")
    assert public_text(Unavailable("gone")) == "gone"


def test_neither_text_nor_repr_of_a_masked_error_quotes() -> None:
    @masked
    class Api:
        def get(self) -> None:
            raise ClientError(400, "INVALID_ARGUMENT", "Bad 'sesame'")

    with pytest.raises(ClientError) as caught:
        Api().get()

    assert str(caught.value) == "400 INVALID_ARGUMENT: Bad '…'"
    assert "sesame" not in repr(caught.value)
