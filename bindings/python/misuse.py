"""Calls the library wrongly in every way: it answers, and never falls over."""

import ctypes
import sys
import threading

import licet

trust = open(sys.argv[1], "rb").read()


def refused(call, *says):
    try:
        call()
    except licet.Error as error:
        for text in says:
            assert text in str(error), (text, str(error))
        return
    raise AssertionError(f"not refused: {says}")


refused(lambda: licet.Session(b"", "CAD-PRO"), "trust file")
refused(lambda: licet.Session(b"not a trust file", "CAD-PRO"), "trust file")
refused(lambda: licet.Session(trust[:-40], "CAD-PRO"), "trust file")
refused(lambda: licet.Session(trust, ""), "no product")
refused(lambda: licet.Session(trust, "CAD-PRO", versoin="1"), "versoin")
refused(lambda: licet.Session(trust, "CAD-PRO", version="four"), "version")
refused(lambda: licet.Session(trust, "CAD-PRO", refresh="-1s"), "refresh")
refused(lambda: licet.Session(trust, "CAD-PRO", build_date="soon"), "JSON")

library = licet._licet()
error = ctypes.c_void_p()
for text in (None, b"", b"{", b"[]", b'{"code":"A"} {}', b"\xff\xfe"):
    assert library.licet_open(trust, len(trust), text, ctypes.byref(error)) == 0, text
    assert licet._take(error.value), text
    assert library.licet_open(trust, len(trust), text, None) == 0, text
assert library.licet_open(None, 5, b"{}", None) == 0
assert library.licet_open(trust, 1 << 40, b"{}", None) == 0

# Activation.
for call in (library.licet_activate, library.licet_activation_request):
    for text in (b"", b"{", b"[]", b'{"ticket":[]}', b'{"tickets":"A"}', b'{"tickets":[]} {}', b"\xff\xfe"):
        assert call(trust, len(trust), text, 1000, ctypes.byref(error)) is None, text
        assert licet._take(error.value), text
        assert call(trust, len(trust), text, 1000, None) is None, text
    assert call(None, 5, b"{}", 1000, None) is None
    assert call(trust, 1 << 40, b"{}", 1000, None) is None
refused(lambda: licet._done(library.licet_activate, trust, len(trust), words={}, seconds=10), "ticket")
for file, text in ((None, None), (None, b"{}"), (b"x", b'{"tickets":["A"]}'), (b"x", b"{")):
    assert library.licet_import(file, text, 1000, ctypes.byref(error)) is None, (file, text)
    assert licet._take(error.value), (file, text)
refused(lambda: licet._done(library.licet_import, b"x", words={}, seconds=10), "no Licet file")

# Numbers that name no session.
for number in (0, 1 << 63, 2**64 - 1):
    assert library.licet_valid(number) == 0
    assert library.licet_feature(number, b"render") == 0
    assert library.licet_verdict(number) is None
    assert library.licet_sentences(number) is None
    assert library.licet_refresh(number, 10, None) == 0
    assert library.licet_use(number, 1, 10, None, None) == 0
    assert library.licet_changed(number, 10) == -1
    library.licet_close(number)
library.licet_free(None)

session = licet.Session(trust, "CAD-PRO")
assert library.licet_feature(session._number, None) == 0
assert session.verdict["code"] == "no_license"
assert session.changed(0.01) is False
session.refresh()
refused(lambda: session.refresh(-5), "")
refused(lambda: session.use(0), "one is the least")
refused(lambda: session.use(-(2**63)), "one is the least")
refused(lambda: session.use(1), "No license")
assert library.licet_use(session._number, 1, 10, None, None) == 0
number = session._number
session.close()
session.close()
assert not session.valid and library.licet_valid(number) == 0
refused(lambda: session.verdict, "closed")
refused(lambda: session.changed(1), "closed")

# Who waits while the session is closed is told.
session = licet.Session(trust, "CAD-PRO")
waited = []
waiter = threading.Thread(target=lambda: waited.append(library.licet_changed(session._number, 60000)))
waiter.start()
session.close()
waiter.join(30)
assert waited == [-1], waited

# Many threads, opening, asking and closing at once.
shared = licet.Session(trust, "CAD-PRO")
failed = []


def use():
    try:
        for _ in range(10):
            own = licet.Session(trust, "CAD-PRO")
            for _ in range(50):
                assert not shared.valid and not own.valid
                assert shared.verdict["code"] == "no_license"
            own.close()
    except Exception as error:  # noqa: BLE001 - any failure is the finding
        failed.append(error)


threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
print("every misuse was answered")
