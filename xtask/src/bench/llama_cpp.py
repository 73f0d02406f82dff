"""The same work as the engine's `measure`, done by llama.cpp: python3 llama_cpp.py MODEL THREADS PROMPT GENERATED."""

import json
import resource
import sys
import time

import llama_cpp


def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))


path, threads, prompt, generated = sys.argv[1], *map(int, sys.argv[2:5])
longest = max(prompt, generated)
before = kilobytes("VmRSS:")
start = time.perf_counter()
model = llama_cpp.Llama(
    path, n_ctx=longest, n_batch=longest, n_ubatch=longest, n_threads=threads, n_threads_batch=threads, verbose=False
)
loaded = time.perf_counter()
ids = [(i * 7919 + 13) % model.n_vocab() for i in range(longest)]
model.eval(ids[:prompt])

model.reset()
mark = time.perf_counter()
model.eval(ids[:prompt])
prompted = time.perf_counter() - mark
model.reset()
mark = time.perf_counter()
for token in ids[:generated]:
    model.eval([token])
generation = time.perf_counter() - mark
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(
    json.dumps(
        {
            "prompt": prompt / prompted,
            "generation": generated / generation,
            "load_ms": (loaded - start) * 1e3,
            "memory_mb": (peak - before) / 1e3,
            "kernels": "llama.cpp " + llama_cpp.__version__,
        }
    )
)
