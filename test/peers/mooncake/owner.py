"""A client of Mooncake's own that lends memory, driven by lines: put NAME BYTES, get NAME, exist NAME."""

import hashlib
import sys

from mooncake.store import MooncakeDistributedStore

host, metadata, master, segment_bytes = sys.argv[1:]
store = MooncakeDistributedStore()
code = store.setup(host, metadata, int(segment_bytes), 64 << 20, "tcp", "", master)
print("ready" if code == 0 else f"setup failed: {code}", flush=True)

for line in sys.stdin:
    verb, name, *rest = line.split()
    if verb == "put":
        value = bytes(index * 7 & 255 for index in range(int(rest[0])))
        print(store.put(name, value), flush=True)
    elif verb == "get":
        print(hashlib.sha256(store.get(name)).hexdigest(), flush=True)
    elif verb == "exist":
        print(store.is_exist(name), flush=True)

store.close()
