//! What each request takes in the next step: its latest token, tokens of its prompt, or nothing.

use super::active::Active;

/// Sets it for all of them, up to `room` tokens in all.
pub(super) fn take(active: &mut [Active<'_>], room: usize) {
    active.iter_mut().for_each(Active::sit_out);
    let all = active.len();
    let generating = active.iter_mut().filter(|active| active.is_generating());
    let generating = generating.map(Active::take_latest).count();
    let mut prompts = room - generating;
    if generating > 0 {
        // A quarter as many rows again as when all generate: whoever waits for its next token now waits little longer
        // than in this company anyway. Half as many again would be ready hardly sooner.
        prompts = prompts.min(all + (all / 4).max(1) - generating);
    }
    // While nobody generates, nobody does before all prompts have passed: each keeps its last token until all can take
    // theirs, and all take alike, so that groups can share them evenly. Else the first is to be ready first.
    let unfed: usize = active.iter().map(Active::unfed).sum();
    let kept = usize::from(generating == 0 && unfed > prompts);
    let mut left =
        if generating > 0 { 1 } else { active.iter().filter(|active| active.unfed() > kept).count() };
    for active in active.iter_mut().filter(|active| active.unfed() > kept) {
        let rows = (active.unfed() - kept).min(prompts.div_ceil(left));
        active.take_prompt(rows);
        prompts -= rows;
        left = (left - 1).max(1);
    }
}
