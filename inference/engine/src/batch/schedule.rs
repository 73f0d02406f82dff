//! The rows of a step: which request takes its latest token, and which tokens of its prompt (chunked prefill).

use super::active::Active;

/// Sets what each request takes, up to `room` tokens in all.
pub(super) fn take(active: &mut [Active<'_>], room: usize) {
    active.iter_mut().for_each(Active::sit_out);
    let all = active.len();
    let decoding = active.iter_mut().filter(|active| active.is_decoding());
    let decoding = decoding.map(Active::take_latest).count();
    let mut prefill = room - decoding;
    if decoding > 0 {
        // A quarter as many rows again as when all decode, so that the time per output token grows little. Half as many
        // again would bring the first token hardly sooner.
        prefill = prefill.min(all + (all / 4).max(1) - decoding);
    }
    // While no request decodes, none begins to before all prompts have passed: each keeps its last token until all can
    // take theirs, and all take equal chunks, so that data-parallel groups have even shares. Else the first request has
    // precedence.
    let unfed: usize = active.iter().map(Active::unfed).sum();
    let kept = usize::from(decoding == 0 && unfed > prefill);
    let mut left =
        if decoding > 0 { 1 } else { active.iter().filter(|active| active.unfed() > kept).count() };
    for active in active.iter_mut().filter(|active| active.unfed() > kept) {
        let rows = (active.unfed() - kept).min(prefill.div_ceil(left));
        active.take_prompt(rows);
        prefill -= rows;
        left = (left - 1).max(1);
    }
}
