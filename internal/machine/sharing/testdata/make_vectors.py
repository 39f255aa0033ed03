#!/usr/bin/env python3
"""Writes vectors.json by other means than the Go code: tables of logarithms
to the base 3 and a plain sum of powers. Run it in this folder."""
import hashlib
import json

exp, log, x = [0] * 510, [0] * 256, 1
for i in range(255):
    exp[i] = exp[i + 255] = x
    log[x] = i
    x ^= (x << 1) ^ (0x11B if x & 0x80 else 0)
    x &= 0xFF


def mul(a, b):
    return exp[log[a] + log[b]] if a and b else 0


def stream(label, n):
    return hashlib.shake_128(label.encode()).digest(n)


def split(secret, n, k, random):
    rows = [secret] + [random[i * len(secret):(i + 1) * len(secret)] for i in range(k - 1)]
    shares = []
    for x in range(1, n + 1):
        y = []
        for b in range(len(secret)):
            total, power = 0, 1
            for row in rows:
                total ^= mul(row[b], power)
                power = mul(power, x)
            y.append(total)
        shares.append({"x": x, "y": bytes(y).hex()})
    return shares


vectors = []
for n, k, size in [(1, 1, 32), (3, 2, 32), (5, 3, 32), (9, 5, 32), (17, 17, 32), (20, 13, 16), (255, 128, 2), (255, 1, 1)]:
    secret = stream(f"secret {n} {k}", size)
    random = stream(f"random {n} {k}", size * (k - 1))
    vectors.append({"name": f"{k} of {n}", "n": n, "k": k, "secret": secret.hex(),
                    "random": random.hex(), "shares": split(secret, n, k, random), "expect": "secret"})

good = split(stream("s", 4), 4, 3, stream("r", 8))
bad = {"n": 4, "k": 3, "secret": stream("s", 4).hex(), "expect": "refused"}
vectors += [
    {"name": "too few", **bad, "shares": good[:2]},
    {"name": "one number twice", **bad, "shares": [good[0], good[1], good[0]]},
    {"name": "number zero", **bad, "shares": [good[0], good[1], {"x": 0, "y": good[2]["y"]}]},
    {"name": "another length", **bad, "shares": [good[0], good[1], {"x": 3, "y": "00"}]},
    {"name": "none", **bad, "shares": []},
]
flipped = [dict(s) for s in good]
flipped[1]["y"] = "%02x" % (int(flipped[1]["y"][:2], 16) ^ 1) + flipped[1]["y"][2:]
vectors.append({"name": "a flipped bit", **bad, "shares": flipped, "expect": "another secret"})

with open("vectors.json", "w") as f:
    json.dump(vectors, f, indent=1)
    f.write("\n")
