//! Marks in the engine's instructions for an emulator that counts them: no-ops that carry a number.

/// The meaning of a mark, with the number that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Mark {
    /// A measured part begins.
    Begin = 0x5a01,
    /// A phase ends and the next one begins: cores go apart or meet again.
    Phase = 0x5a02,
    /// The measured part ends.
    End = 0x5a03,
}

impl Mark {
    /// The mark of `number`, if it is one's.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0x5a01 => Some(Self::Begin),
            0x5a02 => Some(Self::Phase),
            0x5a03 => Some(Self::End),
            _ => None,
        }
    }

    /// The mark that an AArch64 instruction is: `movz xzr, #number` (Arm ARM, C6.2, MOVZ).
    #[must_use]
    pub fn in_aarch64(instruction: &[u8]) -> Option<Self> {
        let word = u32::from_le_bytes(instruction.try_into().ok()?);
        if word & 0xffe0_001f == 0xd280_001f { Self::from_number(word >> 5 & 0xffff) } else { None }
    }

    /// The mark that an x86_64 instruction is: `nop dword ptr [rax + number]` with four bytes of displacement (SDM
    /// vol. 2, NOP).
    #[must_use]
    pub fn in_x86_64(instruction: &[u8]) -> Option<Self> {
        let number = instruction.strip_prefix(&[0x0f, 0x1f, 0x80])?;
        Self::from_number(u32::from_le_bytes(number.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Mark;

    #[test]
    fn marks_are_told_from_other_instructions() {
        for mark in [Mark::Begin, Mark::Phase, Mark::End] {
            let number = mark as u32;
            let [low, high, ..] = number.to_le_bytes();
            assert_eq!(Mark::in_aarch64(&(0xd280_001f | number << 5).to_le_bytes()), Some(mark));
            assert_eq!(Mark::in_x86_64(&[0x0f, 0x1f, 0x80, low, high, 0, 0]), Some(mark));
            // Another register, half-word or length.
            assert_eq!(Mark::in_aarch64(&(0xd280_0000 | number << 5).to_le_bytes()), None);
            assert_eq!(Mark::in_aarch64(&(0xd2a0_001f | number << 5).to_le_bytes()), None);
            assert_eq!(Mark::in_x86_64(&[0x0f, 0x1f, 0x80, low, high, 0]), None);
        }
        assert_eq!(Mark::in_aarch64(&0xd503_201fu32.to_le_bytes()), None);
        assert_eq!(Mark::in_x86_64(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]), None);
    }
}
