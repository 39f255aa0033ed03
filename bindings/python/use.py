"""Takes units of a license: use.py TRUST-FILE PRODUCT UNITS"""

import sys

from licet import Error, Session

with open(sys.argv[1], "rb") as file:
    trust = file.read()
with Session(trust, sys.argv[2]) as session:
    try:
        print(session.use(int(sys.argv[3])), "left")
    except Error as error:
        sys.exit(str(error))
