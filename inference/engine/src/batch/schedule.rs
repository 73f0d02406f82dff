//! What each request takes in the next step: its latest token, a piece of its prompt, or nothing.

use super::active::Active;

/// Sets it for all of them, up to `room` tokens in all.
pub(super) fn take(active: &mut [Active<'_>], mut room: usize) {
    active.iter_mut().for_each(Active::sit_out);
    let waits = active.iter().any(|active| active.unfed() > 0);
    let generating = active.iter().any(Active::is_generating);
    let mut prompts = room;
    if generating || !waits {
        let ready = active.iter_mut().filter(|active| active.unfed() == 0);
        let mut taken = 0;
        for active in ready {
            active.take_latest();
            taken += 1;
        }
        room -= taken;
        // A quarter as many rows again as when all generate: whoever waits for its next token now waits little longer
        // than in this company anyway. Half as many again would be ready hardly sooner.
        let all = active.len();
        prompts = room.min(all + (all / 4).max(1) - taken);
    }
    // While nobody generates, nobody does before all prompts have passed: all take alike, so that groups can share
    // them evenly. Else the first is to be ready first.
    let mut left = if generating { 1 } else { active.iter().filter(|active| active.unfed() > 0).count() };
    for active in active.iter_mut().filter(|active| active.unfed() > 0) {
        prompts -= active.take_prompt(prompts.div_ceil(left));
        left = (left - 1).max(1);
    }
}
