"""The same work as the engine's `measure`, done by llama.cpp:
python3 llama_cpp.py MODEL THREADS PROMPT GENERATED [CONTEXT]...
"""

import json
import resource
import sys
import time

import llama_cpp


def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))


def load(room, batch):
    return llama_cpp.Llama(
        path, n_ctx=room, n_batch=batch, n_ubatch=batch, n_threads=threads, n_threads_batch=threads, verbose=False
    )


def generation(ids):
    mark = time.perf_counter()
    for token in ids:
        model.eval([token])
    return len(ids) / (time.perf_counter() - mark)


path, threads, prompt, generated, *contexts = sys.argv[1], *map(int, sys.argv[2:])
longest = max(prompt, generated)
before = kilobytes("VmRSS:")
start = time.perf_counter()
model = load(longest, longest)
loaded = time.perf_counter()
ids = [(i * 7919 + 13) % model.n_vocab() for i in range(longest)]
model.eval(ids[:prompt])

model.reset()
mark = time.perf_counter()
model.eval(ids[:prompt])
prompted = time.perf_counter() - mark
model.reset()
generated_rate = generation(ids[:generated])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
at_depths = []
for context in contexts:
    model.close()
    model = load(context + generated, 512)
    ids = [(i * 7919 + 13) % model.n_vocab() for i in range(context + generated)]
    model.eval(ids[:context])
    at_depths.append({"context": context, "generation": generation(ids[context:])})
print(
    json.dumps(
        {
            "prompt": prompt / prompted,
            "generation": generated_rate,
            "contexts": at_depths,
            "load_ms": (loaded - start) * 1e3,
            "memory_mb": (peak - before) / 1e3,
            "kernels": "llama.cpp " + llama_cpp.__version__,
        }
    )
)
