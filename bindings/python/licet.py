"""May this program run? Licet for Python, over the library liblicet.

    from licet import Session

    with Session(trust, "CAD-PRO", version="4.2.1") as session:
        if not session.valid:
            print(session)

What the answers mean stands in docs/sdk.md. The module needs nothing but the
standard library and liblicet, which LICET_LIBRARY names if it does not lie where
the system looks for libraries.
"""

import ctypes
import ctypes.util
import json
import os

__all__ = ["Error", "Session", "activate", "activation_request", "import_file"]

_INTERFACE = 3


class Error(Exception):
    """The library was called wrongly, could not tell, or was refused something.

    code is that of a refusal (docs/errors.md), "" for anything else; hint is what to
    do next.
    """

    def __init__(self, message, code="", hint=""):
        super().__init__(message)
        self.code, self.hint = code, hint


def _load():
    path = os.environ.get("LICET_LIBRARY") or ctypes.util.find_library("licet")
    if not path:
        raise Error("liblicet was not found: set LICET_LIBRARY to its path")
    library = ctypes.CDLL(path)
    # A char* that is ours to free must not become bytes at once.
    text, texts = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
    number, answer, time = ctypes.c_uint64, ctypes.c_int32, ctypes.c_int64
    for name, result, arguments in (
        ("licet_interface", answer, []),
        ("licet_open", number, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, texts]),
        ("licet_valid", answer, [number]),
        ("licet_feature", answer, [number, ctypes.c_char_p]),
        ("licet_verdict", text, [number]),
        ("licet_sentences", text, [number]),
        ("licet_refresh", answer, [number, time, texts]),
        ("licet_wait", answer, [number, time, texts]),
        ("licet_enable", answer, [number, time, texts]),
        ("licet_disable", answer, [number, time, texts]),
        ("licet_borrow", answer, [number, time, time, texts]),
        ("licet_return", answer, [number, time, texts]),
        ("licet_use", answer, [number, time, time, ctypes.POINTER(time), texts]),
        ("licet_changed", answer, [number, time]),
        ("licet_activate", text, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, time, texts]),
        ("licet_activation_request", text, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, time, texts]),
        ("licet_import", text, [ctypes.c_char_p, ctypes.c_char_p, time, texts]),
        ("licet_close", None, [number]),
        ("licet_free", None, [ctypes.c_void_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if library.licet_interface() != _INTERFACE:
        raise Error(f"liblicet has interface {library.licet_interface()}; this module needs {_INTERFACE}")
    return library


_library = None


def _licet():
    global _library
    if _library is None:
        _library = _load()
    return _library


def _take(pointer):
    """The text behind a pointer, which is freed."""
    if not pointer:
        return None
    try:
        return ctypes.string_at(pointer).decode()
    finally:
        _licet().licet_free(pointer)


def _done(function, *values, words, seconds):
    error = ctypes.c_void_p()
    what = json.dumps({name: value for name, value in words.items() if value is not None}).encode()
    text = _take(function(*values, what, int(seconds * 1000), ctypes.byref(error)))
    if text is None:
        raise Error(_take(error.value) or "it was not done")
    answer = json.loads(text)
    if answer["code"] != "done":
        raise Error(answer["message"], answer["code"], answer.get("hint", ""))
    return answer


def activate(trust, tickets, home=None, seconds=60.0):
    """Redeem tickets on this machine, online.

    Returns what came of it: licenses (ids that came in), removed, refused (what a
    ticket could not give, each with code and message). Raises Error with its code
    where nothing was done: ticket_unknown, central_unreachable, … Called again it
    goes on where it was.
    """
    return _done(_licet().licet_activate, trust, len(trust), words={"tickets": list(tickets), "home": home}, seconds=seconds)


def activation_request(trust, tickets, home=None, seconds=60.0):
    """The same without a network: the text of a file for the vendor's page."""
    words = {"tickets": list(tickets), "home": home}
    return _done(_licet().licet_activation_request, trust, len(trust), words=words, seconds=seconds)["request"]


def import_file(text, home=None, seconds=60.0):
    """Take in the file that the vendor answered; as activate, with the receipt."""
    return _done(_licet().licet_import, text.encode(), words={"home": home}, seconds=seconds)


class Session:
    """One program's view of its license. Its methods may be called from any thread.

    trust is the content of the vendor's trust file, product the product's code;
    further words are those of licet_open: version, build_date, features, home,
    refresh, servers, wait, reduced.
    """

    def __init__(self, trust, product, **words):
        library, error = _licet(), ctypes.c_void_p()
        text = json.dumps({"code": product, **words}).encode()
        self._number = library.licet_open(trust, len(trust), text, ctypes.byref(error))
        if not self._number:
            raise Error(_take(error.value) or "liblicet did not open a session")

    @property
    def valid(self):
        """Whether the program may run now; answered from memory."""
        return _licet().licet_valid(self._number) == 1

    def feature(self, name):
        """Whether the program may run now and the license has a feature."""
        return _licet().licet_feature(self._number, name.encode()) == 1

    @property
    def verdict(self):
        """The whole answer: valid, code, reasons, warnings, hint, valid_until, …"""
        text = _take(_licet().licet_verdict(self._number))
        if text is None:
            raise Error("the session is closed")
        return json.loads(text)

    def _within(self, function, *values):
        error = ctypes.c_void_p()
        values = [int(v) if isinstance(v, (int, float)) else v for v in values]
        if function(self._number, *values, ctypes.byref(error)) != 1:
            raise Error(_take(error.value) or "it was not done")

    def refresh(self, seconds=30.0):
        """Look again now; raises Error if it could not be told what is there."""
        self._within(_licet().licet_refresh, seconds * 1000)

    def wait(self, seconds):
        """Wait for a place in the queue to become a seat; raises Error if none came."""
        self._within(_licet().licet_wait, seconds * 1000)

    def enable(self, seconds=30.0):
        """Take a seat, where the session runs reduced."""
        self._within(_licet().licet_enable, seconds * 1000)

    def disable(self, seconds=30.0):
        """Give the seat back and go on reduced."""
        self._within(_licet().licet_disable, seconds * 1000)

    def borrow(self, duration, seconds=30.0):
        """Take the license along for duration (a timedelta), with no break."""
        self._within(_licet().licet_borrow, duration.total_seconds(), seconds * 1000)

    def give_back(self, seconds=30.0):
        """Give back what was borrowed."""
        self._within(_licet().licet_return, seconds * 1000)

    def use(self, units=1, seconds=30.0):
        """Take units of a license that is sold by units; returns how many are left.

        They are counted on the disk when it returns. Raises Error, and takes none,
        where fewer are left. A license that counts none has 2**63 - 1 left.
        """
        left = ctypes.c_int64()
        self._within(_licet().licet_use, units, seconds * 1000, ctypes.byref(left))
        return left.value

    def changed(self, seconds):
        """Wait until the verdict may have changed; False if the time went by."""
        answer = _licet().licet_changed(self._number, int(seconds * 1000))
        if answer < 0:
            raise Error("the session is closed")
        return answer == 1

    def close(self):
        """End the session: nothing is valid any more."""
        _licet().licet_close(self._number)
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __str__(self):
        return _take(_licet().licet_sentences(self._number)) or "The session is closed."
