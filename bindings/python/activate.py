"""Redeems tickets, online and by file: activate.py TRUST-FILE CENTRAL TICKET TICKET HOME OTHER-HOME"""

import sys
import urllib.request

from licet import Error, Session, activate, activation_request, import_file

file, central, one, two, home, other = sys.argv[1:]
with open(file, "rb") as opened:
    trust = opened.read()


def send(path, text):
    request = urllib.request.Request(central + path, text.encode(), {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def refused(code, call, *values, **words):
    try:
        call(*values, **words)
    except Error as error:
        assert error.code == code and str(error), (error.code, str(error))
        return
    raise AssertionError(f"not refused: {code}")


refused("ticket_unknown", activate, trust, [one[:-2] + "!!"], home=home)
refused("", activate, b"no trust file", [one], home=home)
refused("", activate, trust, [one], home=home, seconds=0)

done = activate(trust, [one.lower()], home=home)
assert len(done["licenses"]) == 1 and not done["refused"] and "receipt" not in done, done
with Session(trust, "CAD-PRO", home=home) as session:
    assert session.valid and session.verdict["license"] == done["licenses"][0], session.verdict
again = activate(trust, [one], home=home)
assert not again["licenses"], again
taken = activate(trust, [one], home=other)
assert not taken["licenses"] and taken["refused"][0]["code"] == "license_in_use", taken

# By file, on a machine with no network.
update = send("/gateway/v1/program", activation_request(trust, [two], home=other))
refused("wrong_container", import_file, update, home=home)
refused("wrong_file", import_file, "no file of ours", home=other)
done = import_file(update, home=other)
assert len(done["licenses"]) == 1, done
send("/gateway/v1/receipt", done["receipt"])
assert not import_file(update, home=other)["licenses"]
with Session(trust, "CAD-PRO", home=other) as session:
    assert session.valid, session.verdict
print("activated online and by file")
