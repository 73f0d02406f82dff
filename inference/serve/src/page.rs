//! The page at `/`, and what a browser lets it do.

/// A page, whole in one file.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its text.
    pub html: &'static [u8],
    /// Its `Content-Security-Policy`.
    pub policy: &'static str,
}

impl Page {
    /// A chat with the model, beside the machine as it works. Its policy is its own style, its own script by their
    /// hashes, and nothing from any other server.
    pub const CHAT: Self = Self {
        html: include_bytes!("page/index.html"),
        policy: "default-src 'none'; connect-src 'self'; img-src data:; \
                 style-src 'sha256-TkSgV8lo5wIMulU9fvR7tuaNTYVikIPtG8JJ1y/C2gw='; \
                 script-src 'sha256-oTYC5zhVI3u5E6Hcu9sVHaeZKLAyZnP9CoY05WG9foQ='; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = |three: &[u8]| {
            let bits = (0..3).fold(0, |bits, index| bits << 8 | usize::from(*three.get(index).unwrap_or(&0)));
            [0, 1, 2, 3].map(|index| match index <= three.len() {
                true => char::from(DIGITS[bits >> (18 - 6 * index) & 63]),
                false => '=',
            })
        };
        bytes.chunks(3).flat_map(digits).collect()
    }

    #[test]
    fn the_policy_allows_what_is_in_the_page() {
        let html = str::from_utf8(Page::CHAT.html).unwrap();
        for (directive, tag) in [("style-src", "style"), ("script-src", "script")] {
            let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
            assert_eq!((html.matches(&begin).count(), html.matches(&end).count()), (1, 1), "{tag}");
            let (_, rest) = html.split_once(&begin).unwrap();
            let (inner, _) = rest.split_once(&end).unwrap();
            let source = format!("{directive} 'sha256-{}';", base64(&Sha256::digest(inner)));
            assert!(Page::CHAT.policy.contains(&source), "page.rs wants {source}");
        }
        assert!(!html.contains("innerHTML") && !html.contains(" style="));
    }

    #[test]
    fn base64_is_the_usual_one() {
        assert_eq!(["", "f", "fo", "foo"].map(|text| base64(text.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}
