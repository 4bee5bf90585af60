"""A job: adds up the amounts of a file of orders, one JSON object a line. Exit code 65 if a line is wrong."""

import json
import sys

total = 0
with open(sys.argv[1]) as orders:
    for number, line in enumerate(orders, 1):
        try:
            total += json.loads(line)["amount"]
        except (ValueError, KeyError, TypeError) as error:
            print(f"line {number}: {error!r}", file=sys.stderr)
            sys.exit(65)
print(f"total {total}")
