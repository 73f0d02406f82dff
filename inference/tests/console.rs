//! The console from end to end, on host threads, with a terminal that the test writes and reads.
#![cfg(feature = "std")]

mod common;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use common::{STORY, smollm2};
use embodios_inference::console::{Fault, Module, Start, run};
use embodios_inference::platform::host::Host;
use embodios_inference::platform::{Core, CoreCounters, CoreSet, Counter, Memory, Platform};
use embodios_inference::platform::{PlatformError, Power, ThreadId};

/// A host whose terminal is in memory.
struct Scripted {
    host: &'static Host,
    input: Mutex<VecDeque<u8>>,
    output: Mutex<Vec<u8>>,
    writes: AtomicU32,
}

impl Platform for Scripted {
    fn cores(&self) -> &[Core] {
        self.host.cores()
    }
    fn start_thread(
        &self,
        cores: &CoreSet,
        entry: extern "C" fn(usize),
        argument: usize,
    ) -> Result<ThreadId, PlatformError> {
        self.host.start_thread(cores, entry, argument)
    }
    fn join_thread(&self, thread: ThreadId) -> Result<(), PlatformError> {
        self.host.join_thread(thread)
    }
    fn current_thread(&self) -> ThreadId {
        self.host.current_thread()
    }
    fn set_affinity(&self, thread: ThreadId, cores: &CoreSet) -> Result<(), PlatformError> {
        self.host.set_affinity(thread, cores)
    }
    fn affinity(&self, thread: ThreadId) -> Result<CoreSet, PlatformError> {
        self.host.affinity(thread)
    }
    fn reserve_cores(&self, cores: &CoreSet) -> Result<(), PlatformError> {
        self.host.reserve_cores(cores)
    }
    fn release_cores(&self) {
        self.host.release_cores();
    }
    fn yield_now(&self) {
        self.host.yield_now();
    }
    fn sleep_ns(&self, nanoseconds: u64) {
        self.host.sleep_ns(nanoseconds);
    }
    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.host.wait(word, expected);
    }
    fn wake(&self, word: &AtomicU32, count: u32) {
        self.host.wake(word, count);
    }
    fn now_ns(&self) -> u64 {
        self.host.now_ns()
    }
    fn current_core(&self) -> usize {
        self.host.current_core()
    }
    fn write(&self, bytes: &[u8]) {
        self.writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.output.lock().unwrap().extend(bytes);
    }
    fn read(&self, buffer: &mut [u8]) -> usize {
        let mut input = self.input.lock().unwrap();
        let count = input.len().min(buffer.len());
        for (byte, typed) in buffer.iter_mut().zip(input.drain(..count)) {
            *byte = typed;
        }
        count
    }
    fn memory(&self) -> Memory {
        Memory { total: 1 << 30, free: 1 << 29, engine: 1 << 21 }
    }
    fn core_counters(&self, core: usize) -> CoreCounters {
        self.host.core_counters(core)
    }
    fn uncounted(&self) -> &'static [&'static str] {
        self.host.uncounted()
    }
    fn counters(&self, report: &mut dyn FnMut(Counter)) {
        report(("system calls", 12));
    }
    fn self_test(&self, _wakes: u32) -> (u32, u32) {
        self.write(b"test scripted platform ... ok\n");
        (1, 0)
    }
    fn power(&self, action: Power) -> ! {
        panic_any(action)
    }
}

/// A session that has ended.
struct Session {
    output: String,
    action: Power,
    writes: u32,
}

fn session(cores: usize, modules: &[Module], command_line: &str, restarts: u64, typed: &str) -> Session {
    let platform: &'static Scripted = Box::leak(Box::new(Scripted {
        host: Host::unpinned(cores),
        input: Mutex::new(typed.bytes().collect()),
        output: Mutex::default(),
        writes: AtomicU32::new(0),
    }));
    let fault: fn(Fault) -> ! = |fault| panic_any(fault);
    let start = Start {
        machine: "scripted",
        restarts,
        died_loading: false,
        command_line,
        modules,
        fault: Some(fault),
    };
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| run(platform, &start)));
    let output = String::from_utf8(platform.output.lock().unwrap().clone()).unwrap();
    let action = match payload.downcast::<Power>() {
        Ok(action) => *action,
        Err(other) => resume_unwind(other),
    };
    Session { output, action, writes: platform.writes.load(std::sync::atomic::Ordering::Relaxed) }
}

const MODULE: Module = Module { name: "story.gguf", bytes: STORY };
const GOOD: Power = Power::Off { success: true };
const BAD: Power = Power::Off { success: false };

/// Runs commands on the story model; what came after the two lines of the start.
fn script(cores: usize, commands: &str) -> (String, Power) {
    let Session { output, action, .. } = session(cores, &[MODULE], &format!("exec={commands}"), 0, "");
    let (_, after) = output.split_once("console after ").unwrap();
    (after.split_once('\n').unwrap().1.to_owned(), action)
}

fn line<'o>(output: &'o str, start: &str) -> &'o str {
    output.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start:?} in {output}"))
}

#[test]
fn generates_the_reference_story() {
    let (output, action) = script(2, "generate -n 64 Once upon a time");
    let expected = ", there was a little boy named Ben. Ben loved to sing. He had a toy boat. He played with it \
                    every day. One day, Ben fell down, and the toy boat broke. Big tears ran down his face. \
                    Ben ran to his dad.";
    assert!(
        output.starts_with(&format!("> generate -n 64 Once upon a time\n{expected}\n[64 tokens, ")),
        "{output}"
    );
    assert_eq!(action, GOOD);
}

#[test]
fn a_stop_text_ends_the_story_before_it() {
    let (output, action) = script(1, "generate -x \" He had\" -x ZZZ Once upon a time");
    let story = output.lines().nth(1).unwrap();
    assert_eq!(story, ", there was a little boy named Ben. Ben loved to sing.");
    assert_eq!(action, GOOD);
}

#[test]
fn probabilities_are_shown_with_the_likeliest_tokens() {
    let (output, _) = script(1, "generate -n 2 -l 2 Once upon a time");
    let shown = line(&output, "12 \",\" -");
    let (own, likeliest) = shown.split_once(": ").unwrap();
    assert!(likeliest.starts_with(own) && likeliest.split(", ").count() >= 2, "{shown}");
    line(&output, "431 \" there\" -");
    line(&output, "[2 tokens, ");
}

#[test]
fn a_penalty_keeps_tokens_from_coming_back() {
    let repeats = |options: &str| {
        let (output, _) = script(1, &format!("generate -n 60 {options} Once upon a time"));
        let mut words: Vec<String> = output.lines().nth(1).unwrap().split(' ').map(String::from).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        all - words.len()
    };
    let (plain, penalised) = (repeats(""), repeats("-r 100"));
    assert!(penalised * 4 < plain, "{penalised} {plain}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_cores() {
    let (one, _) = script(1, "hash Once upon a time");
    let (three, action) = script(3, "hash Once upon a time; hash -c 2 Once upon a time");
    let ids = line(&one, "ids 12 431 277 260 377 ");
    assert_eq!(three.lines().filter(|&line| line == ids).count(), 2, "{three}");
    assert_eq!(action, GOOD);
}

#[test]
fn json_lines_are_answered_until_an_empty_one() {
    let long = "Once ".repeat(500);
    let typed = format!("{{\"text\": \"Once\"}}\r\n \nno\n{{\"text\": \"{long}\"}}\n\npoweroff\n");
    let Session { output, action, .. } = session(1, &[MODULE], "exec=json tokenize; ids Once", 0, &typed);
    let (_, answers) = output.split_once("> json tokenize\n").unwrap();
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[0], r#"{"ids":[490],"left_out":0}"#);
    assert!(lines[1].contains(r#""line":3"#), "{}", lines[1]);
    assert!(lines[2].starts_with("\u{6}\u{6}{\"ids\":[490,"), "{}", lines[2]);
    assert_eq!(lines[3..], ["> ids Once", "ids 0 490"]);
    assert_eq!(action, GOOD);
}

#[test]
fn a_batch_has_the_bits_of_one() {
    let (output, action) = script(
        2,
        "batch -n 12 3 Once upon a time; batch --json -n 12 2 Once upon a time; hash -n 12 Once upon a time",
    );
    for number in 1..=3 {
        line(&output, &format!("#{number}: 12 tokens, limit reached; waited "));
    }
    assert_eq!(
        output.lines().filter(|line| *line == ", there was a little boy named Ben. Ben loved to").count(),
        3,
        "{output}"
    );
    line(&output, "[3 requests, 36 tokens, ");
    let hash = line(&output, "ids ").split_once("hash ").unwrap().1;
    let json = format!("\"logits_hash\":\"{hash}\"");
    assert_eq!(
        output.lines().filter(|line| line.starts_with('{') && line.contains(&json)).count(),
        2,
        "{output}"
    );
    assert_eq!(action, GOOD);
}

#[test]
fn a_batch_comes_from_a_module_or_is_typed() {
    let lines = b"{\"text\": \"Once upon a time\", \"tokens\": 4}\n\n{\"ids\": [1, 2], \"tokens\": 3, \"logprobs\": 0}\n";
    let modules = [MODULE, Module { name: "asked.jsonl", bytes: lines }];
    let Session { output, action, .. } =
        session(2, &modules, "exec=batch asked.jsonl; batch nothing.jsonl", 0, "");
    let answer = line(&output, "{\"ids\":[12,431,");
    assert!(answer.contains("\"line\":1,") && answer.contains("\"text\":\", there was a\""), "{answer}");
    assert!(output.contains("\"line\":3,") && output.contains("\"logprobs\":[-"), "{output}");
    line(&output, "error: no module is called \"nothing.jsonl\"");
    assert_eq!(action, BAD);
    let typed = "{\"text\": 1}\n{\"text\": \"Once\", \"tokens\": 2}\n\n";
    let Session { output, action, .. } = session(1, &[MODULE], "exec=batch -", 0, typed);
    assert!(output.contains("{\"error\":\"wants a string\",\"field\":\"text\",\"line\":1}"), "{output}");
    assert!(output.contains("\"line\":2,"), "{output}");
    assert_eq!(action, GOOD);
    // Lines in front of the model are not taken for it.
    let modules = [Module { name: "asked.jsonl", bytes: lines }, MODULE];
    let Session { action, .. } = session(1, &modules, "exec=batch asked.jsonl", 0, "");
    assert_eq!(action, GOOD);
    let wrong = [MODULE, Module { name: "wrong.jsonl", bytes: b"{}\n" }];
    let Session { output, .. } = session(1, &wrong, "exec=batch wrong.jsonl", 0, "");
    line(&output, "error: no request: {\"error\":\"is missing, as is ids\",\"field\":\"text\",\"line\":1}");
}

#[test]
fn scaling_has_the_same_bits_and_puts_the_workers_back() {
    let (output, action) = script(
        3,
        "bench scaling -n 4 1,2; affinity; bench scaling --json -n 4 -c 2 2 Once upon a time; \
         bench scaling -c 9 1; cpus",
    );
    let hash = |start: &str| line(&output, start).rsplit_once(' ').unwrap().1;
    for prompts in 1..=2 {
        let one = hash(&format!("{prompts} prompts, 1 workers: "));
        for workers in 2..=3 {
            assert_eq!(hash(&format!("{prompts} prompts, {workers} workers: ")), one);
        }
    }
    let run = line(&output, "{");
    assert!(["\"prompts\":2", "\"workers\":2"].iter().all(|field| run.contains(field)), "{run}");
    line(&output, "error: 9 workers: they may have cores 0-2 only, which are 3");
    assert_eq!(output.lines().filter(|line| line.starts_with("cpu ") && line.contains("worker")).count(), 3);
    assert!(line(&output, "workers: ").starts_with("workers: 0-2,"), "{output}");
    assert_eq!(action, BAD);
}

#[test]
fn threads_take_turns_and_leave_affinity_alone() {
    let (output, action) = script(2, "affinity; bench switch -n 20; affinity");
    for case in [
        "yield and yield back, one core: ",
        "wake and wake back, one core: ",
        "wake and wake back, two cores: ",
    ] {
        assert!(line(&output, case).ends_with(", mean of 20"), "{output}");
    }
    let affinity: Vec<&str> = output.split("> affinity\n").skip(1).collect();
    assert_eq!(affinity[0].split("> ").next(), affinity[1].split("> ").next());
    assert_eq!(action, GOOD);
}

#[test]
fn batches_run_on_cores_of_their_own() {
    let lines =
        b"{\"text\": \"Once upon a time\", \"tokens\": 12}\n{\"text\": \"The princess\", \"tokens\": 9}\n";
    let other = Module { name: "other.gguf", bytes: STORY };
    let modules = [MODULE, Module { name: "a.jsonl", bytes: lines }, other];
    let run = |commands: &str| session(4, &modules, &format!("exec={commands}"), 0, "");
    let Session { output, action, .. } =
        run("batch 0=a.jsonl 1-3=a.jsonl@other.gguf; hash -n 12 Once upon a time; cpus");
    let (first, rest) = output.split_once("[a.jsonl on cores 0, llama: ").unwrap();
    let (second, rest) = rest.split_once("[a.jsonl on cores 1-3, llama: ").unwrap();
    let hash = line(rest, "ids ").split_once("hash ").unwrap().1;
    for answers in [first, second] {
        assert!(
            answers.contains(&format!("\"logits_hash\":\"{hash}\"")) && answers.contains("\"line\":2,"),
            "{output}"
        );
    }
    line(rest, "workers: 0-3, ");
    assert_eq!(action, GOOD);
    let Session { output, action, .. } = run(
        "batch 0,2=a.jsonl 1=a.jsonl; batch 0-1=a.jsonl 1=a.jsonl; batch 0=a.jsonl 9=a.jsonl; batch 0=b.jsonl; batch 0=a.jsonl@c",
    );
    let errors: Vec<&str> = output.lines().filter(|line| line.starts_with("error: ")).collect();
    let apart = "error: each batch wants cores of its own, and no other's between them";
    assert_eq!(errors[..3], [apart, apart, "error: core 9 is not online"]);
    assert!(errors[3].contains("\"b.jsonl\"") && errors[4].contains("no module is called \"c\""), "{output}");
    assert_eq!(action, BAD);
}

#[test]
fn what_is_pasted_goes_to_whom_it_is_meant_for() {
    for end in ["\n", "\r", "\r\n"] {
        let pasted = [
            "json tokenize",
            "{\"text\": \"Once\"}",
            "",
            "ids Once",
            "batch -",
            "{\"text\": \"Once\", \"tokens\": 2}",
            "",
            "ids Once",
            "poweroff",
            "",
        ];
        let Session { output, action, .. } = session(1, &[MODULE], "", 0, &pasted.join(end));
        let shown: Vec<&str> = output.lines().skip_while(|line| !line.starts_with("> json")).collect();
        assert_eq!(
            shown[..4],
            ["> json tokenize", "{\"ids\":[490],\"left_out\":0}", "> ids Once", "ids 0 490"]
        );
        assert!(shown[4] == "> batch -" && shown[5].contains("\"line\":1,"), "{output}");
        assert_eq!(shown[6..], ["> ids Once", "ids 0 490", "> poweroff"], "{output}");
        assert_eq!(action, GOOD);
    }
}

#[test]
fn the_same_step_is_timed_on_each_core() {
    let (output, action) = script(2, "bench jitter -n 5; bench jitter --json -c 1 -n 3; bench jitter -n 0");
    for start in ["step  ", "core 0  ", "core 1  ", "core 0: ticks - timer_interrupts ", "core 1: ticks - "] {
        line(&output, start);
    }
    let hashes = line(&output, "same bits: logits hash ").split_once("hash ").unwrap().1;
    let (first, second) = hashes.split_once(' ').unwrap();
    assert_eq!(first, second);
    let json: serde_json::Value = serde_json::from_str(line(&output, "{")).unwrap();
    assert_eq!((json["steps"].as_u64(), json["cores"].as_array().unwrap().len()), (Some(6), 1));
    let (share, step) = (&json["cores"][0]["share"], &json["step"]);
    assert!(
        share["p50_ns"].as_u64() > Some(0) && share["mean_ns"].as_f64() < step["mean_ns"].as_f64(),
        "{json}"
    );
    assert_eq!(json["cores"][0]["counters"]["refused_allocations"], 0);
    line(&output, "error: -n wants a number of at least 1, found \"0\"");
    assert_eq!(action, BAD);
}

#[test]
fn batches_are_measured_against_the_same_requests_alone() {
    let (output, action) =
        script(2, "bench batch -b 2 -p 3 -n 4; bench batch --json -b 3 -p 3 -n 2; bench none");
    for start in
        ["story.gguf, 2 workers, prompts of 3 tokens, 4 made of each", "       2 ", "alone  ", "together  "]
    {
        line(&output, start);
    }
    let json: serde_json::Value = serde_json::from_str(line(&output, "{")).unwrap();
    let (row, joined) = (&json["rows"][0], &json["joined"]);
    assert_eq!((row["batch"].as_u64(), joined["others"].as_u64()), (Some(3), Some(7)));
    for figure in [&row["together"]["prompt_ns"], &row["alone"]["total_ns"], &joined["meanwhile"]["p50_ns"]] {
        assert!(figure.as_u64() > Some(0), "{json}");
    }
    line(&output, "error: bench wants scaling, switch, jitter or batch, found \"none\"");
    assert_eq!(action, BAD);
}

#[test]
fn kernels_are_chosen_by_name() {
    let run = |words: &str| session(1, &[MODULE], &format!("kernels={words} exec=model"), 0, "");
    let Session { output, action, .. } = run("Portable");
    assert!(line(&output, "model story.gguf").ends_with(", portable kernels"), "{output}");
    let names = line(&output, "kernels for this processor: ").split_once(": ").unwrap().1;
    assert!(names.ends_with("64-bit words, portable"), "{names}");
    for name in names.split(", ") {
        let Session { output, .. } = run(&name.replace(' ', "-"));
        assert!(line(&output, "model story.gguf").ends_with(&format!(", {name} kernels")), "{output}");
    }
    assert_eq!(action, GOOD);
    let Session { output, action, .. } = run("abacus");
    let reason = line(&output, "model none: no kernels are called \"abacus\"; there are: ");
    assert!(reason.ends_with("64-bit-words, portable"), "{reason}");
    assert_eq!(action, BAD);
}

#[test]
fn the_seed_decides_what_is_sampled() {
    let text = |seed| script(1, &format!("generate -t 1 -k 40 -p 0.95 -n 30 -s {seed} The princess")).0;
    let story = |output: String| output.lines().nth(1).unwrap().to_owned();
    assert_eq!(story(text(7)), story(text(7)));
    assert_ne!(story(text(7)), story(text(8)));
}

#[test]
fn generation_stops_at_the_end_of_the_story_and_of_the_context() {
    let (output, _) = script(1, "generate -n 300 Once upon a time; hash -n 300 Once upon a time");
    assert!(line(&output, "[").starts_with("[170 tokens, "), "{output}");
    // 256 positions, 5 of the prompt: 251 tokens are fed back, and one more comes out.
    assert_eq!(line(&output, "ids ").split(';').next().unwrap().split(' ').count(), 1 + 252);
}

#[test]
fn failed_commands_are_named_and_make_the_script_fail() {
    let long = "word ".repeat(300);
    let commands = [
        ("frobnicate", "error: unknown command \"frobnicate\"; \"help\" lists them"),
        ("generate -c 9 x", "error: 9 workers: they may have cores 0-1 only, which are 2"),
        ("chat hello", "error: this model has no chat template"),
        (&format!("generate {long}"), "error: the context of 256 tokens is full: 0 used, "),
    ];
    for (command, error) in commands {
        let (output, action) = script(2, &format!("{command}; ids a"));
        line(&output, error);
        line(&output, "ids 0 ");
        assert_eq!(action, BAD);
    }
}

#[test]
fn a_missing_or_damaged_model_leaves_the_console() {
    let broken = Module { name: "broken.gguf", bytes: &STORY[..STORY.len() / 2] };
    let text = Module { name: "notes.txt", bytes: b"not a model" };
    for (modules, words, reason) in [
        (&[][..], "", "the machine was started without a model"),
        (&[MODULE], "model=none", "started with model=none"),
        (&[MODULE, text], "model=x", "no module is called \"x\"; there are: story.gguf, notes.txt"),
        (&[text], "", "notes.txt: header at offset 0: not a GGUF file: begins with \"not \""),
        (&[broken], "", "broken.gguf: tensor "),
    ] {
        let Session { output, action, .. } =
            session(1, modules, &format!("{words} exec=generate x; cpus; test"), 0, "");
        line(&output, &format!("model none: {reason}"));
        line(&output, &format!("error: no model loaded: {reason}"));
        line(&output, "cpu 0: hardware id ");
        line(&output, "12 passed, 0 failed");
        assert_eq!(action, BAD);
    }
    let chosen = session(1, &[text, MODULE], "model=story.gguf exec=ids x", 0, "");
    assert_eq!(chosen.action, GOOD);
}

#[test]
fn tests_report_each_and_add_up() {
    let (output, action) = script(3, "test");
    let passed = output.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count();
    assert!(passed > 8, "{output}");
    assert!(output.ends_with(&format!("\n{passed} passed, 0 failed\n")), "{output}");
    assert_eq!(action, GOOD);
}

#[test]
fn describes_the_machine_and_the_model() {
    let (output, _) = script(2, "model; cpus; mem; generate -n 3 Once; stats; cpus; help");
    for start in [
        "model story.gguf: llama, 1.3 M parameters, context 256, ",
        "name tinystory-1.3M, file 1.3 MiB, weights Q8_0 (43), F32 (13)",
        "6 layers of 128, 4 heads, 2 key/value heads of 32, feed-forward 384",
        "1024 tokens, chat: this model has no chat template",
        "cpu 0: hardware id 0x0, package 0, physical core 0, capacity 1024, online, worker, housekeeping",
        "cpu 1: hardware id 0x1, package 0, physical core 1, capacity 1024, online, worker",
        "workers: 0-1, one a physical core, the fastest class first, not started",
        "workers: 0-1, one a physical core, the fastest class first, running",
        "2 of 2 online, this is cpu 0",
        "memory 1.0 GiB, free 512.0 MiB, engine 2.0 MiB",
        "scripted: 3 tokens made in ",
        "system calls: 12",
        "generate [-n TOKENS]",
    ] {
        line(&output, start);
    }
}

#[test]
fn workers_go_where_they_are_put() {
    let commands = "affinity; hash -n 2 Once; affinity; affinity workers=1,3; affinity; hash -n 2 Once; \
                    affinity workers=0-4; affinity workers=; pin 1 9; affinity";
    let words = format!("workers=1-2 exec={commands}");
    let Session { output, action, .. } = session(4, &[MODULE], &words, 0, "");
    for expected in [
        "workers: 1-2, as asked, not started",
        "workers: 1-2, as asked, running",
        "workers: 1,3, as asked, running",
        "housekeeping: 0",
        "error: core 4 is not online",
        "error: \"\" is no core or range of cores",
        "error: core 9 is not online",
    ] {
        line(&output, expected);
    }
    let threads =
        |end: &str| output.lines().filter(|line| line.starts_with("thread ") && line.ends_with(end)).count();
    assert_eq!(threads("(console): cores 0-3"), 1, "{output}");
    assert_eq!((threads("(console): cores 1"), threads("(worker 0): cores 1")), (3, 3), "{output}");
    assert_eq!((threads("(worker 1): cores 2"), threads("(worker 1): cores 3")), (1, 2), "{output}");
    let hashes: Vec<&str> = output.lines().filter(|line| line.starts_with("ids ")).collect();
    assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{output}");
    assert_eq!(action, BAD);
}

#[test]
fn bad_words_on_the_command_line_are_named() {
    for (words, error) in [
        ("workers=0-9", "error: workers=0-9 on the command line: core 2 is not online"),
        ("workers=two", "error: workers=two on the command line: \"two\" is no core"),
        ("spin=-1", "error: spin=-1 on the command line: not a whole number of microseconds"),
    ] {
        let Session { output, action, .. } = session(2, &[MODULE], &format!("{words} exec=ids a"), 0, "");
        line(&output, error);
        line(&output, "ids 0 ");
        assert_eq!(action, BAD);
    }
    let kept = session(3, &[MODULE], "housekeeping=0 exec=affinity", 0, "");
    line(&kept.output, "workers: 1-2, one a physical core");
    assert_eq!(kept.action, GOOD);
}

#[test]
fn statistics_come_as_text_and_json_and_begin_anew() {
    let (output, action) = script(2, "hash -n 4 Once; stats; stats --json; stats reset; stats --json");
    line(&output, "worker 1 on cpu 1: working ");
    line(&output, "cpu 1: switches ");
    line(&output, "jobs: ");
    let objects: Vec<serde_json::Value> = output
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [before, after] = objects.as_slice() else { panic!("{output}") };
    for (object, some) in [(before, true), (after, false)] {
        assert_eq!(object["tokens"].as_u64().unwrap() > 0, some);
        assert_eq!(object["jobs"]["count"].as_u64().unwrap() > 0, some);
        let workers = object["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 2);
        assert!(workers.iter().all(|worker| (worker["items"].as_u64().unwrap() > 0) == some));
        assert_eq!(object["cores"][1]["core"], 1);
        assert!(object["cores"][1]["ticks"].is_null());
    }
    assert_eq!(action, GOOD);
}

#[test]
fn a_script_goes_on_behind_a_crash() {
    let words = "exec=mem; crash null; cpus";
    let fault = catch_unwind(|| session(1, &[MODULE], words, 0, "")).err().unwrap();
    assert_eq!(fault.downcast_ref::<Fault>(), Some(&Fault::Null));
    let second = session(1, &[MODULE], words, 1, "");
    assert_eq!(second.action, GOOD);
    assert!(second.output.contains("> cpus\n") && !second.output.contains("> mem\n"), "{}", second.output);
    let third = session(1, &[MODULE], words, 2, "");
    assert_eq!(third.action, BAD);
    line(&third.output, "error: the engine crashed 2 times, more often than the commands ask for");
}

#[test]
fn obeys_the_terminal() {
    let typed = "\r  \rgenerate -n 2 Onse\x7f\x7fce\rfrob\r\x1b[A\x1b[A\r\rreboot\rcpus\r";
    let Session { output, action, .. } = session(1, &[MODULE], "", 0, typed);
    assert_eq!(action, Power::Reboot);
    assert_eq!(output.matches("\n[2 tokens, ").count(), 2, "{output}");
    line(&output, "error: unknown command \"frob\"");
    assert!(output.ends_with("\n> reboot\n"), "{output}");
    assert_eq!(session(1, &[], "", 0, "mem\rpower").action, GOOD);
    assert_eq!(session(1, &[], "", 0, "poweroff\r").action, GOOD);
}

#[test]
fn a_token_is_written_at_once_and_by_itself() {
    let typed = "generate -n 20 Once upon a time\r";
    let Session { writes, .. } = session(1, &[MODULE], "", 0, typed);
    // Start, prompt, echo, 20 tokens, report, prompt.
    assert_eq!(writes, 25);
}

#[test]
#[ignore = "needs smollm2-135m"]
fn smollm2_answers_in_its_turn() {
    let module = Module { name: "smollm2", bytes: Vec::leak(smollm2()) };
    let words = "exec=chat -n 40 Hello, who are you?; ids a\u{4}b";
    let Session { output, action, .. } = session(2, &[module], words, 0, "");
    assert!(output.contains("\nHello, I'm here to help") && !output.contains("<|im_"), "{output}");
    line(&output, "note: 1 bytes of the text have no token in this model's vocabulary and are left out");
    assert_eq!(action, GOOD);
}
