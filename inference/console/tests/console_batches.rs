//! The console's batches and benches, on host threads.

#[path = "common/scripted.rs"]
mod scripted;

use embodios_console::Module;
use embodios_fixtures::STORY;

use scripted::{BAD, GOOD, MODULE, Session, line, script, session};

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
    let lines = b"{\"text\": \"Once upon a time\", \"tokens\": 4}\n\n\
        {\"ids\": [1, 2], \"tokens\": 3, \"logprobs\": 0}\n{\"text\": \"Once\", \"tokens\": 0, \"logprobs\": 2}\n";
    let modules = [MODULE, Module { name: "asked.jsonl", bytes: lines }];
    let Session { output, action, .. } =
        session(2, &modules, "exec=batch asked.jsonl; batch nothing.jsonl", 0, "");
    let answer = line(&output, "{\"ids\":[12,431,");
    assert!(answer.contains("\"line\":1,") && answer.contains("\"text\":\", there was a\""), "{answer}");
    assert!(output.contains("\"line\":3,") && output.contains("\"logprobs\":[{\"id\":"), "{output}");
    assert!(output.contains("\"logprobs\":[]"), "{output}");
    line(&output, "error: no module is called \"nothing.jsonl\"");
    assert_eq!(action, BAD);
    let typed = "{\"text\": 1}\n{\"text\": \"Once\", \"tokens\": 2}\n\n";
    let Session { output, action, .. } = session(1, &[MODULE], "exec=batch -", 0, typed);
    assert!(output.contains("{\"error\":\"wants a string\",\"field\":\"text\",\"line\":1}"), "{output}");
    assert!(output.contains("\"line\":2,"), "{output}");
    line(&output, "error: 1 requests failed");
    assert_eq!(action, BAD);
    // Lines in front of the model are not taken for it.
    let modules = [Module { name: "asked.jsonl", bytes: lines }, MODULE];
    let Session { action, .. } = session(1, &modules, "exec=batch asked.jsonl", 0, "");
    assert_eq!(action, GOOD);
    // A line that is no request fails alone, and fails the command.
    let bytes = b"{}\n{\"text\": \"Once\", \"tokens\": 2}\n";
    let wrong = [MODULE, Module { name: "wrong.jsonl", bytes }];
    for command in ["batch wrong.jsonl", "batch 0=wrong.jsonl"] {
        let Session { output, action, .. } = session(1, &wrong, &format!("exec={command}"), 0, "");
        line(&output, "{\"error\":\"is missing, as is ids\",\"field\":\"text\",\"line\":1}");
        assert!(output.contains("\"line\":2,"), "{output}");
        line(&output, "error: 1 requests failed");
        assert_eq!(action, BAD);
    }
}

#[test]
fn scaling_has_the_same_bits_and_puts_the_workers_back() {
    let (output, action) = script(
        3,
        "bench scaling -n 4 1,2; affinity; bench scaling --json --bound -n 4 -c 1,3 2 Once upon a time; \
         bench scaling -c 9 1; cpus",
    );
    let hash = |start: &str| line(&output, start).rsplit_once(' ').unwrap().1;
    for prompts in 1..=2 {
        let one = hash(&format!("{prompts} prompts, 1 workers: "));
        for workers in 2..=3 {
            assert_eq!(hash(&format!("{prompts} prompts, {workers} workers: ")), one);
        }
    }
    let runs: Vec<&str> = output.lines().filter(|line| line.starts_with('{')).collect();
    let number = |run: &str, field: &str| -> usize {
        let (_, value) = run.split_once(&format!("\"{field}\":")).unwrap();
        value.split([',', '}']).next().unwrap().parse().unwrap()
    };
    let numbers = |field: &str| runs.iter().map(|run| number(run, field)).collect::<Vec<_>>();
    assert_eq!((numbers("workers"), numbers("batches")), (vec![1, 3, 3], vec![1, 1, 3]), "{output}");
    let tokens = numbers("tokens");
    assert_eq!(tokens, [tokens[0], tokens[0], 3 * tokens[0]]);
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
    let run =
        |commands: &str| session(4, &modules, &format!("model=story.gguf keep-going exec={commands}"), 0, "");
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
        "batch 0,2=a.jsonl 1=a.jsonl; batch 0-1=a.jsonl 1=a.jsonl; batch 0=a.jsonl 9=a.jsonl; batch 0=b.jsonl; \
         batch 0=a.jsonl@c",
    );
    let errors: Vec<&str> = output.lines().filter(|line| line.starts_with("error: ")).collect();
    let apart = "error: each batch wants cores of its own, and no other's between them";
    assert_eq!(errors[..3], [apart, apart, "error: core 9 is not online"]);
    assert!(errors[3].contains("\"b.jsonl\"") && errors[4].contains("no module is called \"c\""), "{output}");
    assert_eq!(action, BAD);
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
