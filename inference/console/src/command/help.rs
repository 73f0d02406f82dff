//! Help of the console on its own language. The words are understood next door, in [`super`].

use alloc::string::String;

/// The text of `help`.
const HELP: &str = "\
generate [-n TOKENS] [-t TEMPERATURE] [-k TOP] [-p MASS] [-m SHARE] [-r PENALTY]
         [-s SEED] [-x STOP]... [-l COUNT] [-c CORES] TEXT
                    continue TEXT; without -t, always the likeliest token.
                    -m: only tokens with this share of the likeliest one's
                    probability; -r: for tokens of the text so far;
                    -x: end before this text (in quotes: \\n for a line break);
                    -l: show probabilities of this and the likeliest tokens.
                    Options go in front of TEXT; -- before a TEXT with words
                    like them
chat [--new] [--system TEXT] [same options] TEXT
                    answer TEXT through the model's chat template, with all that
                    was said before; --new: forget that first;
                    --system: begin anew with instructions (several words in
                    quotes)
hash [--json] [-n TOKENS] [-c CORES] [-v KERNELS] [-d TOKENS] TEXT
                    token ids and hash of the logits of a greedy continuation;
                    -v: by these kernels; -d: with the prompt so many tokens
                    at a time
ids TEXT            token ids of TEXT
batch [--json] [same options] N TEXT
                    continue TEXT N times at once, with one seed after the
                    other; without -t all are the same text
batch [--json] MODULE | -
                    the same for the JSON lines of a module, or typed ones up to
                    an empty one: {\"text\": ..., \"tokens\": ..., ...}
batch CORES=MODULE[@MODEL] CORES=MODULE[@MODEL]...
                    several of these at the same time, each on cores of its own,
                    with another model where one is named
bench scaling [--json] [--bound] [-r REPETITIONS] [-n TOKENS] [-c WORKERS,...] [PROMPTS,... [TEXT]]
                    the same prompts on 1, 2, 4, ... workers; each is TEXT with
                    other words first; --bound: also as many such batches at
                    once that share nothing, each on one of the workers
bench switch [--json] [-n ROUNDS]
                    two threads that take turns
bench jitter [--json] [-n STEPS] [-c WORKERS]
                    how evenly the same step takes its time, on each core, in
                    deterministic mode
bench batch [--json] [-b SIZE] [-p PROMPT] [-n TOKENS] [-c WORKERS]
                    batches of 1 to 16 requests, or SIZE, against the same ones
                    one after another; what it does to one when others join
json TASK           answer JSON objects, one a line, until an empty line; TASK:
                    tokenize, detokenize, logits, generate, chat or batch
model | cpus | mem  what is loaded, there and used
affinity            which thread runs where
affinity workers=CORES
                    put the workers there (as in 0,2-3)
pin THREAD CORES    confine a thread to these cores
stats [--json | reset]
                    what was done, by the engine, by each worker and core;
                    reset: count from now on
test [WAKES] [batches=N]
                    test the kernel and the engine; WAKES: how often two threads
                    wake each other (3000); N batches of up to 32 requests
                    against each alone, instead of 3 small ones
crash null | kernel | panic | stack | return | nmi [CORE]
                    fault on purpose, on core 0 unless another is given: the
                    kernel starts a fresh engine
                    (stack: a kernel stack, which stops the machine)
reboot | poweroff
help [COMMAND]      also COMMAND --help
Ctrl-C stops a command, Ctrl-D at an empty line powers off
";

/// The help on one command, or all of it.
pub fn help_on(command: Option<&str>) -> String {
    let Some(command) = command else { return HELP.into() };
    let mut wanted = false;
    let lines = HELP.split_inclusive('\n').filter(|line| {
        if !line.starts_with(' ') {
            // Before its text, which stands in a column of its own, an entry may have several commands.
            let entry = line.split("  ").next().unwrap_or(line);
            wanted = entry.split(" | ").any(|one| one.split_whitespace().next() == Some(command));
        }
        wanted
    });
    lines.collect()
}
