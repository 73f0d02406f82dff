//! The console from end to end, on host threads, with a terminal that the test writes and reads.

#[path = "common/scripted.rs"]
mod scripted;

use std::panic::catch_unwind;

use embodios_console::{Fault, Module};
use embodios_fixtures::{STORY, smollm2};
use embodios_pool::platform::Power;

use scripted::{BAD, GOOD, MODULE, Session, interrupted_session, line, script, session};

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
    let commands =
        "hash Once upon a time; hash -c 2 Once upon a time; hash --json -v portable Once upon a time";
    let (three, action) = script(3, commands);
    let ids = line(&one, "ids 12 431 277 260 377 ");
    assert_eq!(three.lines().filter(|&line| line == ids).count(), 2, "{three}");
    assert_eq!(action, GOOD);
    let object: serde_json::Value = serde_json::from_str(line(&three, "{")).unwrap();
    assert_eq!(object["kernels"], "portable");
    assert_eq!(object["ids"][4], 377);
    assert!(ids.ends_with(object["logits_hash"].as_str().unwrap()), "{object}");
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
    assert!(lines[2].starts_with("{\"ids\":[490,"), "{}", lines[2]);
    assert_eq!(lines[3..], ["> ids Once", "ids 0 490"]);
    assert_eq!(action, GOOD);
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
fn kernels_are_chosen_by_name() {
    let run = |words: &str| session(1, &[MODULE], &format!("kernels={words} exec=model"), 0, "");
    let Session { output, action, .. } = run("Portable");
    assert!(line(&output, "model story.gguf").ends_with(", portable kernels"), "{output}");
    let names = line(&output, "kernels for this processor: ").split_once(": ").unwrap().1;
    assert!(names.ends_with("64-bit SWAR, portable"), "{names}");
    for name in names.split(", ") {
        let Session { output, .. } = run(&name.replace(' ', "-"));
        assert!(line(&output, "model story.gguf").ends_with(&format!(", {name} kernels")), "{output}");
    }
    assert_eq!(action, GOOD);
    let Session { output, action, .. } = run("abacus");
    let reason = line(&output, "model none: no kernels are called \"abacus\"; there are: ");
    assert!(reason.ends_with("64-bit-SWAR, portable"), "{reason}");
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
        (&[text], "", "no module is a model (GGUF); there are: notes.txt"),
        (&[MODULE, text], "model=notes.txt", "notes.txt is text, not a model"),
        (
            &[MODULE, Module { name: "b", ..MODULE }],
            "",
            "there are several, choose with model=NAME on the command line: story.gguf, b",
        ),
        (&[broken], "", "broken.gguf: tensor "),
    ] {
        let Session { output, action, .. } =
            session(1, modules, &format!("{words} keep-going exec=generate x; cpus; test"), 0, "");
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
    let words = format!("workers=1-2 keep-going exec={commands}");
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
        ("wrokers=0", "error: wrokers=0 on the command line: unknown, or there twice"),
    ] {
        let run = |more: &str| session(2, &[MODULE], &format!("{words} {more}exec=ids a"), 0, "");
        let Session { output, action, .. } = run("keep-going ");
        line(&output, error);
        line(&output, "ids 0 ");
        assert_eq!(action, BAD);
        let Session { output, action, .. } = run("");
        assert!(output.contains(error) && !output.contains("ids 0"), "{output}");
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
fn a_script_ends_at_the_first_failure() {
    let run = |words: &str| session(1, &[MODULE], words, 0, "");
    let Session { output, action, .. } = run("exec=ids a; frob; ids b");
    assert!(output.contains("ids 0 ") && !output.contains("> ids b"), "{output}");
    line(&output, "the commands behind that are not run; keep-going");
    assert_eq!(action, BAD);
    let Session { output, action, .. } = run("keep-going exec=frob; ids b");
    assert!(output.contains("> ids b\nids 0 "), "{output}");
    assert_eq!(action, BAD);
    // A model that is none fails a script that does not ask for it, too.
    let broken = Module { name: "broken.gguf", bytes: &STORY[..STORY.len() / 2] };
    let Session { output, action, .. } = session(1, &[broken], "model=broken.gguf exec=mem", 0, "");
    assert!(output.contains("model none: broken.gguf: tensor ") && !output.contains("> mem"), "{output}");
    assert_eq!(action, BAD);
}

#[test]
fn a_script_may_be_a_module() {
    let bytes = b"# what is asked\r\nids a; b\r\n\r\nids \"c\n";
    let modules = [MODULE, Module { name: "asked", bytes }];
    let Session { output, action, .. } = session(1, &modules, "script=asked", 0, "");
    let shown: Vec<&str> = output.lines().filter(|line| line.starts_with("> ")).collect();
    assert_eq!(shown, ["> ids a; b", "> ids \"c"], "{output}");
    assert_eq!(action, GOOD);
    for (words, error) in [
        ("script=other", "error: script: no module is called \"other\"; there are: story.gguf, asked"),
        ("script=story.gguf", "error: script: story.gguf is a model (GGUF), not commands"),
        ("exec=ids \"a; mem", "error: script: a quotation mark is not closed"),
    ] {
        let Session { output, action, .. } = session(1, &modules, words, 0, "");
        line(&output, error);
        assert_eq!(action, BAD);
    }
}

#[test]
fn a_quiet_console_frames_its_answers_and_says_nothing_else() {
    let run = |commands: &str| session(1, &[MODULE], &format!("quiet keep-going exec={commands}"), 0, "");
    let Session { output, action, .. } = run("ids a; batch --json -n 2 1 Once");
    assert!(output.starts_with("\x02ids 0 "), "{output:?}");
    assert!(output.ends_with("}\x03\x02\n\x03"), "{output:?}");
    assert_eq!(action, GOOD);
    // Errors and figures stand outside.
    let Session { output, action, .. } = run("frob; generate -n 2 Once");
    let outside: String = output.split('\x03').map(|part| part.split('\x02').next().unwrap()).collect();
    assert!(
        outside.starts_with("error: unknown command \"frob\"") && outside.contains("\n[2 tokens, "),
        "{output:?}"
    );
    let inside: String =
        output.split('\x02').skip(1).map(|part| part.split('\x03').next().unwrap()).collect();
    assert!(!inside.contains("tokens") && !inside.contains('>'), "{inside:?}");
    assert_eq!(action, BAD);
}

#[test]
fn an_interrupt_stops_a_command_and_drops_what_was_typed_before_it() {
    let typed = "generate -n 200 Once upon a time\rids lost\r\x03ids b\rpoweroff\r";
    let run = |words: &str, typed: &str, at| interrupted_session(2, &[MODULE], words, 0, (typed, at));
    let Session { output, action, .. } = run("", typed, " He had");
    assert!(output.contains(" He had") && !output.contains("played"), "{output}");
    line(&output, "error: interrupted");
    assert!(!output.contains("lost") && output.contains("> ids b\nids 0 "), "{output}");
    assert_eq!(action, GOOD);
    // A script ends by it, whatever it is told of failures.
    let Session { output, action, .. } =
        run("keep-going exec=generate -n 200 Once upon a time; ids b", "\x03", " He had");
    assert!(output.contains("error: interrupted") && !output.contains("ids b\nids"), "{output}");
    assert_eq!(action, BAD);
}

#[test]
fn an_interrupt_stops_a_batch_and_a_bench() {
    let lines = b"{\"text\": \"Once\", \"tokens\": 2}\n\
                  {\"text\": \"Once upon a time\", \"tokens\": 250, \"ignore_end\": true}\n";
    let modules = [MODULE, Module { name: "asked", bytes: lines }];
    let run = |words: &str, at| interrupted_session(2, &modules, words, 0, ("\x03", at));
    let Session { output, action, .. } = run("exec=batch asked", "\"line\":1,");
    assert!(line(&output, "error: ").ends_with("interrupted"), "{output}");
    let long = output.lines().find(|line| line.contains("\"line\":2,")).unwrap();
    assert!(long.contains("\"stop\":\"cancelled\"") && !long.contains("\"ids\":[]"), "{output}");
    assert_eq!(action, BAD);
    for bench in ["bench batch -p 4 -n 4", "bench scaling -r 100 -n 4 1", "bench jitter", "hash -n 9 Once"] {
        let at: &'static str = format!("> {bench}").leak();
        let Session { output, action, .. } = run(&format!("exec={bench}"), at);
        assert!(line(&output, "error: ").ends_with("interrupted"), "{output}");
        assert_eq!(action, BAD);
    }
}

#[test]
fn the_input_may_end_by_a_character() {
    let typed = "json tokenize\n{\"text\": \"Once\"}\n\x04ids Once\n\x04cpus\n";
    let Session { output, action, .. } = session(1, &[MODULE], "", 0, typed);
    assert!(output.contains("{\"ids\":[490],\"left_out\":0}\n> ids Once\nids 0 490\n> \n"), "{output}");
    assert!(!output.contains("cpus"), "{output}");
    assert_eq!(action, GOOD);
}

#[test]
fn an_interrupt_ends_lines_that_are_typed() {
    for words in ["", "terminal=80"] {
        let typed = "batch -\n{\"text\": \"Once\"}\n{\x03ids Once\npoweroff\n";
        let Session { output, action, .. } = session(1, &[MODULE], words, 0, typed);
        assert!(output.contains("error: interrupted\n") && output.contains("ids 0 490\n"), "{output}");
        assert!(!output.contains("\"line\":"), "{output}");
        assert_eq!(action, GOOD);
    }
}

#[test]
fn what_is_read_is_acknowledged_to_who_asks() {
    let typed = format!("ids {}\nids Once\npoweroff\n", "a ".repeat(200));
    let Session { output, .. } = session(1, &[MODULE], "flow-control", 0, &typed);
    assert_eq!(output.matches('\x05').count(), 1);
    let (_, after) = output.split_once('\x05').unwrap();
    let counts = after.split('\x06').skip(1).map(|part| usize::from(part.as_bytes()[0] - b' '));
    let counts: Vec<usize> = counts.collect();
    assert_eq!(counts.iter().sum::<usize>(), typed.len());
    assert!(counts.iter().all(|count| (1..=64).contains(count)), "{counts:?}");
    assert!(output.contains("ids 0 490\n"), "{output:?}");
}

#[test]
fn a_person_sees_what_is_typed_and_how_it_ends() {
    let typed =
        "batch -\r{\"text\": \"Once\", \"tokens\": 2}\x7f}\r\r\x1b[200~ids a\r\rb\r\x1b[201~\rpoweroff\r";
    let Session { output, action, .. } = session(1, &[MODULE], "terminal=200", 0, typed);
    let note = "\x1b[?2004lJSON objects, one a line; an empty line ends them, all are answered then\n";
    assert!(output.contains(note), "{output:?}");
    assert!(output.contains("\"tokens\": 2}\x08\x1b[K}\n"), "{output:?}");
    assert!(output.contains("\"line\":1,"), "{output:?}");
    assert!(output.contains("lids 0 65 199 199 66\n"), "{output:?}");
    assert_eq!(action, GOOD);
    line(&session(1, &[MODULE], "terminal=wide", 0, "").output, "error: terminal=wide on the command line: ");
}

#[test]
fn help_is_there_for_each_command() {
    let (output, action) = script(1, "help chat; pin --help");
    assert!(
        output.starts_with("> help chat\nchat [--new] [--system TEXT] [same options] TEXT\n"),
        "{output}"
    );
    assert!(output.contains("--new: forget that first"), "{output}");
    assert!(
        output.ends_with("> pin --help\npin THREAD CORES    confine a thread to these cores\n"),
        "{output}"
    );
    assert_eq!(action, GOOD);
}

#[test]
fn statistics_count_batches_and_survive_a_resize() {
    let (output, action) = script(
        2,
        "batch -n 2 3 Once; hash -n 4 Once; hash -c 1 -n 2 Once; stats; stats --json; stats reset; stats",
    );
    line(&output, "[without -t all 3 are the same text]");
    assert_eq!(
        output.matches("1 batches: 3 requests, 6 tokens made, 6 of prompts, in ").count(),
        1,
        "{output}"
    );
    line(&output, "0 batches: 0 requests, 0 tokens made, 0 of prompts, in ");
    let object: serde_json::Value = serde_json::from_str(line(&output, "{")).unwrap();
    assert_eq!(object["batches"]["requests"], 3);
    let workers = object["workers"].as_array().unwrap();
    let of_core_1 = workers.iter().find(|worker| worker["core"] == 1).unwrap();
    assert!(of_core_1["items"].as_u64() > Some(0), "{object}");
    assert_eq!(action, GOOD);
}

#[test]
fn a_module_is_what_it_holds() {
    let lines: &[u8] = b"{\"text\": \"Once\", \"tokens\": 2}\n";
    let modules = [
        Module { name: "lines.gguf", bytes: lines },
        Module { name: "model.jsonl", bytes: STORY },
        Module { name: "picture", bytes: b"\x89PNG\0" },
    ];
    let run = |words: &str| session(1, &modules, words, 0, "");
    let Session { output, action, .. } = run("exec=batch lines.gguf; batch 0=lines.gguf@model.jsonl");
    line(&output, "model model.jsonl: llama");
    assert_eq!(output.matches("\"line\":1,").count(), 2, "{output}");
    assert_eq!(action, GOOD);
    for (name, error) in [
        ("model.jsonl", "error: model.jsonl is a model (GGUF), not JSON lines"),
        ("picture", "error: picture is neither a model (GGUF) nor text, not JSON lines"),
    ] {
        let Session { output, action, .. } = run(&format!("exec=batch {name}"));
        line(&output, error);
        assert_eq!(action, BAD);
    }
    let other = run("exec=batch 0=lines.gguf@lines.gguf");
    line(&other.output, "error: no model loaded: lines.gguf is text, not a model");
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
    // Start, prompt, echo, 20 tokens, the line's end, report, prompt.
    assert_eq!(writes, 26);
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

#[test]
fn an_interrupt_loses_no_text_that_was_held_back() {
    // "ng" of "sing" may begin the stop text, so that it is shown when that is decided.
    let command = "exec=generate -n 200 -x \"ng. He had a toy XYZ\" Once upon a time";
    let Session { output, action, .. } =
        interrupted_session(2, &[MODULE], command, 0, ("\x03", "loved to si"));
    assert!(output.contains("loved to sing\n") && output.contains("error: interrupted"), "{output}");
    assert_eq!(action, BAD);
}
