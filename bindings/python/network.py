"""Takes a seat of a license server, along, and back: network.py TRUST-FILE ADDRESS"""

import sys
from datetime import timedelta

from licet import Error, Session

with open(sys.argv[1], "rb") as file:
    trust = file.read()
servers = [sys.argv[2]]


def place(session):
    return session.verdict.get("place", "")


with Session(trust, "NET", servers=servers) as first:
    assert first.valid and place(first) == "network", first.verdict
    with Session(trust, "NET", servers=servers) as second:
        assert not second.valid and second.verdict["code"] == "no_seat_free", second.verdict
        try:
            second.wait(0.2)
            raise AssertionError("a seat from nowhere")
        except Error:
            pass
        first.disable()
        assert not first.valid
        second.enable()
        assert second.valid, second.verdict
    first.enable()
    first.borrow(timedelta(hours=1))
    assert first.valid and place(first) == "borrowed", first.verdict

# It stays when the program has ended, with no server.
with Session(trust, "NET", servers=[]) as alone:
    assert alone.valid and place(alone) == "borrowed", alone.verdict

with Session(trust, "NET", servers=servers) as last:
    last.give_back()
    assert last.valid and place(last) == "network", last.verdict

with Session(trust, "NET", servers=[]) as nothing:
    assert not nothing.valid
print("taken, taken along, given back")
