"""What keeps a page from somebody."""


class Denied(Exception):
    """
    Nobody may look, or this person may not do this; the text says what to do.

    Attributes:
        who: their address, if it is known.
        action: what they wanted to do.
    """

    def __init__(self, text: str, *, who: str = "", action: str = "look") -> None:
        super().__init__(text)
        self.who = who
        self.action = action
