#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Imports, regular expressions, JSON, sorting with callbacks, threads, sqlite3, ctypes, exceptions.
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
cat >work.py <<'END'
import collections, ctypes, decimal, json, re, sqlite3, sys, threading, xml.dom.minidom, zlib

def numbers(n):
    return sorted(({"key": str(i % 17), "value": [i] * 3} for i in range(n)), key=lambda x: x["key"])

def query(rows):
    base = sqlite3.connect(":memory:")
    base.create_function("shout", 1, lambda text: text.upper() + "!")
    base.execute("create table t(key text, value text)")
    base.executemany("insert into t values (?, ?)", [(r["key"], json.dumps(r)) for r in rows])
    return base.execute("select shout(key), count(*) from t group by 1 order by 2").fetchall()

def compare(rows):
    compared = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    values = (ctypes.c_int * 50)(*[(i * 37) % 50 for i in range(50)])
    libc = ctypes.CDLL(None)
    libc.qsort(values, 50, 4, compared(lambda a, b: len([a[0]]) and a[0] - b[0]))

def deep(n):
    return [n] + (deep(n - 1) if n else [])

def fail(n):
    try:
        return fail(n - 1) if n else {}[n]
    except KeyError as error:
        raise ValueError(str(error)) from error

def work():
    rows = numbers(300)
    query(rows)
    compare(rows)
    deep(200)
    re.sub("(a|b)*c[d-f]+", lambda m: m.group(0) * 2, "ababcdef" * 20)
    xml.dom.minidom.parseString("<a>" + "<b c='d'>e</b>" * 40 + "</a>").toxml()
    zlib.compress(json.dumps(rows).encode())
    decimal.Decimal(2).sqrt()
    try:
        fail(12)
    except ValueError:
        pass

while True:
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
END
exec /usr/bin/python3.11 work.py
