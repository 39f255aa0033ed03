"""A program that asks whether it may run: example.py TRUST-FILE PRODUCT [FEATURE]"""

import sys

from licet import Session


def main(trust_file, product, *features):
    with open(trust_file, "rb") as file:  # a real program carries it in itself
        trust = file.read()
    with Session(trust, product, version="4.2.1") as session:
        print(session)
        for name in features:
            print(f"{name}: {'yes' if session.feature(name) else 'no'}")
        return 0 if session.valid else 1


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
