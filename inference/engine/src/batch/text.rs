//! The text of a request: the tokens of its prompt, and those made of it.

use embodios_kernels::KV_BLOCK;

use crate::cache::BlockTokens;

/// A text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub prompt: &'a [u32],
    pub made: &'a [u32],
}

impl<'a> Text<'a> {
    /// Tokens of it.
    pub(super) const fn len(self) -> usize {
        self.prompt.len() + self.made.len()
    }

    /// Its tokens.
    pub(super) fn tokens(self) -> impl Iterator<Item = u32> + use<'a> {
        self.prompt.iter().chain(self.made).copied()
    }

    /// The tokens of KV block `index`, which it has whole.
    pub(super) fn block(self, index: usize) -> BlockTokens {
        core::array::from_fn(|offset| {
            let index = index * KV_BLOCK + offset;
            self.prompt.get(index).copied().unwrap_or_else(|| self.made[index - self.prompt.len()])
        })
    }

    /// The blocks of it that others may have computed. The last token is taken in any case: its logits are wanted.
    pub(super) fn blocks(self) -> impl Iterator<Item = BlockTokens> + use<'a> {
        (0..self.len().saturating_sub(1) / KV_BLOCK).map(move |index| self.block(index))
    }

    /// Whole blocks that it and `other` begin with, the last token of each left out.
    pub(super) fn common_blocks(self, other: Text<'_>) -> usize {
        let same = self.tokens().zip(other.tokens()).take_while(|(a, b)| a == b).count();
        same.min(self.len().min(other.len()).saturating_sub(1)) / KV_BLOCK
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn blocks_reach_across_the_prompts_end() {
        let tokens: Vec<u32> = (0..3 * KV_BLOCK as u32).collect();
        let (prompt, made) = tokens.split_at(KV_BLOCK + 5);
        let text = Text { prompt, made };
        assert!(text.len() == 3 * KV_BLOCK && text.tokens().eq(tokens.iter().copied()));
        assert_eq!(text.block(1)[..], tokens[KV_BLOCK..2 * KV_BLOCK]);
        assert_eq!(text.blocks().count(), 2);
        let whole = Text { prompt: &tokens, made: &[] };
        assert_eq!((text.common_blocks(whole), text.common_blocks(Text { made: &[], ..text })), (2, 1));
        assert_eq!(text.common_blocks(Text { prompt: &tokens[1..], made: &[] }), 0);
    }
}
