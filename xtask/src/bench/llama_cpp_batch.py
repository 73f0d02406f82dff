"""The same work as the console's `bench batch`, done by llama.cpp as `llama-batched-bench` does it:
python3 llama_cpp_batch.py MODEL THREADS PROMPT GENERATED SIZE...
"""

import json
import sys
import time

import llama_cpp as lib


def context(size):
    params = lib.llama_context_default_params()
    params.n_ctx = size * (prompt + generated)
    params.n_batch = params.n_ctx
    params.n_ubatch = 512
    params.n_seq_max = size
    params.n_threads = params.n_threads_batch = threads
    return lib.llama_init_from_model(model, params)


def decode(ctx, rows):
    batch = lib.llama_batch_init(len(rows), 0, 1)
    batch.n_tokens = len(rows)
    for i, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[i] = token
        batch.pos[i] = position
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = sequence
        batch.logits[i] = wanted
    if lib.llama_decode(ctx, batch) != 0:
        sys.exit(f"llama_decode failed with {len(rows)} tokens")
    lib.llama_batch_free(batch)


def token(index, sequence):
    return (index * 7919 + sequence * 997 + 13) % vocabulary


def run(size):
    ctx = context(size)
    if not ctx:
        sys.exit(f"no context for {size} sequences")
    decode(ctx, [(token(0, 0), 0, 0, True)])
    lib.llama_memory_clear(lib.llama_get_memory(ctx), True)
    start = time.perf_counter_ns()
    decode(ctx, [(token(i, s), i, s, i + 1 == prompt) for s in range(size) for i in range(prompt)])
    prompted = time.perf_counter_ns()
    for i in range(prompt, prompt + generated - 1):
        decode(ctx, [(token(i, s), i, s, True) for s in range(size)])
    end = time.perf_counter_ns()
    lib.llama_free(ctx)
    return {"prompt_ns": prompted - start, "generation_ns": end - prompted, "total_ns": end - start}


path, threads, prompt, generated, *sizes = sys.argv[1], *map(int, sys.argv[2:])
# Kept: llama.cpp calls it to the end.
quiet = lib.llama_log_callback(lambda level, text, data: None)
lib.llama_log_set(quiet, None)
lib.llama_backend_init()
model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
if not model:
    sys.exit(f"cannot load {path}")
vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
rows = [{"batch": size, "together": run(size)} for size in sizes]
print(json.dumps({"kernels": "llama.cpp " + lib.__version__, "rows": rows}))
