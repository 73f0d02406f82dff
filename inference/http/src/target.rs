//! The target of a request: a path and a query.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fault::Fault;

/// Splits a target into path and query. Absolute ones (`http://host/path`), as proxies get them, lose their host.
///
/// # Errors
/// When it has no path, or bytes that no target has.
pub fn split(target: &str) -> Result<(&str, Option<&str>), Fault> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::Malformed("the target has bytes that are not visible ASCII"));
    }
    let scheme = ["http://", "https://"].into_iter().find(|scheme| starts_with(target, scheme));
    let rest = match scheme.and_then(|scheme| target.get(scheme.len()..)) {
        Some(absolute) => absolute.find(['/', '?']).map_or("/", |begin| &absolute[begin..]),
        None => target,
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    match path {
        // An absolute target may have a query and no path.
        "" if scheme.is_some() => Ok(("/", query)),
        "*" => Ok((path, query)),
        _ if path.starts_with('/') => Ok((path, query)),
        _ => Err(Fault::Malformed("the target is no path")),
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A part of a path with its `%41` decoded; `None` where that is no UTF-8, or there are no two digits.
#[must_use]
pub fn percent_decoded(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_a_path() {
        assert_eq!(split("/v1/models?a=b?c"), Ok(("/v1/models", Some("a=b?c"))));
        assert_eq!(split("/"), Ok(("/", None)));
        assert_eq!(split("*"), Ok(("*", None)));
        assert_eq!(split("http://host:80/health?x"), Ok(("/health", Some("x"))));
        assert_eq!(split("HTTP://host"), Ok(("/", None)));
        assert_eq!(split("http://host?x"), Ok(("/", Some("x"))));
        for bad in ["", "health", "?x", "host:443", "/caf\u{e9}"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percents_are_decoded() {
        assert_eq!(percent_decoded("a%2Fb%c3%a9+").as_deref(), Some("a/b\u{e9}+"));
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
