//! Rules that hold for any hostile program, checked on the console output. Pure: text in, faults out.

use crate::guest::Ending;

/// First words of the kernel's reports of an engine's end.
const REPORTS: [&str; 3] = ["engine fault on core ", "engine failed on core ", "engine has no thread left"];

/// Kernel message of a fresh engine; its number follows.
const RESTARTED: &str = "engine restarted (";

/// The program's mark of a wrong result of the kernel.
const WRONG: &str = "WRONG: ";

/// Separator of the program's first line in each incarnation: `incarnation N begins with B bytes free`.
const BEGINS: &str = " begins with ";

/// Number of engine restarts.
pub fn restarts(console: &str) -> usize {
    console.matches(RESTARTED).count()
}

/// Checks all rules: the machine ends as asked, every crash has one report and one fresh engine, all incarnations begin
/// with the same free memory, and the program saw nothing wrong.
pub fn faults(console: &str, ending: &Ending) -> Vec<String> {
    let mut faults: Vec<String> =
        console.lines().filter(|line| line.contains(WRONG)).take(10).map(str::to_owned).collect();
    if let Ending::Hang(_) = ending {
        // The last incarnation is cut off in the middle.
        let reason = ending.reason().unwrap_or_default();
        faults.push(format!("{reason}; a slow machine needs more --timeout"));
        return faults;
    }
    if *ending != Ending::Success {
        faults.push(ending.reason().unwrap_or_else(|| format!("{ending:?}")));
    }
    faults.extend(reports(console));
    faults.extend(memory(console));
    faults
}

/// Checks that reports and restarts alternate, in the order of their numbers.
fn reports(console: &str) -> Option<String> {
    let mut places: Vec<(usize, Option<&str>)> =
        REPORTS
            .iter()
            .flat_map(|report| console.match_indices(report).map(|(at, _)| (at, None)))
            .chain(console.match_indices(RESTARTED).map(|(at, _)| {
                (at, console[at + RESTARTED.len()..].split_once(')').map(|(number, _)| number))
            }))
            .collect();
    places.sort_unstable();
    let mut incarnations = 0usize;
    for pair in places.chunks(2) {
        incarnations += 1;
        let number = incarnations.to_string();
        match pair {
            [(_, None), (_, Some(found))] if *found == number => {}
            _ => {
                return Some(format!(
                    "the end of incarnation {} is not one report and one fresh engine",
                    incarnations - 1
                ));
            }
        }
    }
    None
}

/// Checks that all incarnations begin with the same free memory.
fn memory(console: &str) -> Option<String> {
    let mut incarnations = console.lines().filter_map(|line| {
        let (incarnation, free) = line.strip_prefix("incarnation ")?.split_once(BEGINS)?;
        Some((incarnation, free))
    });
    let (_, first) = incarnations.next()?;
    let (incarnation, free) = incarnations.find(|&(_, free)| free != first)?;
    Some(format!("incarnation {incarnation} begins with {free}, the first one with {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "incarnation 0 begins with 5 bytes free\nengine fault on core 1 (0x1): page\nregisters\n\
        engine restarted (1)\nlife 1 begins with 5 bytes free\n  engine has no thread left\nengine restarted (2)\n\
        incarnation 2 begins with 5 bytes free\n";

    #[test]
    fn what_holds_has_no_faults() {
        assert_eq!(faults(GOOD, &Ending::Success), Vec::<String>::new());
        assert_eq!(restarts(GOOD), 2);
        assert_eq!(faults("", &Ending::Success), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let found = |console: &str| faults(console, &Ending::Success).join("; ");
        assert!(faults(GOOD, &Ending::Panic).join("").contains("panicked"));
        assert!(found("x WRONG: no result is so large\n").contains("so large"));
        assert!(
            found(&GOOD.replace("incarnation 2 begins with 5", "incarnation 2 begins with 4"))
                .contains("incarnation 2 begins with 4")
        );
        let twice = GOOD.replace("registers\n", "engine failed on core 0:\n");
        assert!(found(&twice).contains("the end of incarnation 0"));
        assert!(found(&GOOD.replace("(2)", "(3)")).contains("the end of incarnation 1"));
        assert!(found(&GOOD.replace("engine restarted (2)\n", "")).contains("the end of incarnation 1"));
    }
}
