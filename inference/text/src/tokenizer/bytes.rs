//! The byte alphabet of byte-level BPE: every byte has one printable character, so that a vocabulary
//! file can spell any byte string as text (GPT-2, "bytes to unicode").
//!
//! Bytes that are printable Latin-1 characters stand for themselves; the other 68 are numbered from
//! U+0100 in ascending order.

/// Characters of the alphabet are below this.
const LIMIT: usize = 0x100 + 68;

const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

const TO_CHAR: [char; 256] = {
    let mut table = ['\0'; 256];
    let mut numbered = 0x100;
    let mut byte = 0;
    while byte < 256 {
        let code = if stands_for_itself(byte as u8) {
            byte as u32
        } else {
            numbered += 1;
            numbered - 1
        };
        table[byte] = match char::from_u32(code) {
            Some(character) => character,
            None => panic!("codes below 0x144 are characters"),
        };
        byte += 1;
    }
    table
};

const TO_BYTE: [Option<u8>; LIMIT] = {
    let mut table = [None; LIMIT];
    let mut byte = 0;
    while byte < 256 {
        table[TO_CHAR[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    table
};

/// The character that spells `byte`.
pub fn to_char(byte: u8) -> char {
    TO_CHAR[usize::from(byte)]
}

/// The byte that `character` spells, if it belongs to the alphabet.
pub fn to_byte(character: char) -> Option<u8> {
    TO_BYTE.get(character as usize).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for byte in 0..=255 {
            assert_eq!(to_byte(to_char(byte)), Some(byte));
        }
        assert_eq!(to_char(b' '), 'Ġ');
        assert_eq!(to_char(b'\n'), 'Ċ');
        assert_eq!(to_char(0xad), 'Ń');
        assert_eq!(to_byte(' '), None);
        assert_eq!(to_byte('你'), None);
    }
}
