//! Who may ask: keys.

use alloc::vec::Vec;
use core::hint::black_box;

use embodios_http::Head;

/// Whether a request carries one of `keys`, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. How long that takes
/// says nothing of the keys but their lengths.
pub fn is_allowed(keys: &[Vec<u8>], head: &Head) -> bool {
    let bearer = head.headers("authorization").filter_map(bearer);
    let given = bearer.chain(head.headers("x-api-key"));
    keys.is_empty() || given.fold(false, |allowed, given| allowed | is_any(keys, given))
}

/// The key in the value of `Authorization`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

fn is_any(keys: &[Vec<u8>], given: &[u8]) -> bool {
    keys.iter().fold(false, |any, key| any | is_equal(key, given))
}

/// Looks at every byte of `key`, whichever differs. An empty key is none.
fn is_equal(key: &[u8], given: &[u8]) -> bool {
    let mut difference = key.len() ^ given.len();
    for (index, &byte) in key.iter().enumerate() {
        let other = given.get(index).copied().unwrap_or_default();
        difference = black_box(difference | usize::from(byte ^ other));
    }
    !key.is_empty() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_as_a_whole() {
        let keys = [b"secret".to_vec(), b"other key".to_vec(), Vec::new()];
        for given in [&b"secret"[..], b"other key"] {
            assert!(is_any(&keys, given));
        }
        for given in [&b"secre"[..], b"secret ", b"Secret", b"", b"secreu", b"secret\0"] {
            assert!(!is_any(&keys, given), "{given:?}");
        }
        assert_eq!(bearer(b"bearer  secret "), Some(&b"secret"[..]));
        assert_eq!(bearer(b"Basic secret"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
