//! Dates as HTTP writes them.

use alloc::format;
use alloc::string::String;

use chrono::DateTime;

/// The last second of the year 9999.
const LAST: i64 = 253_402_300_799;

/// Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7); the year 9999 is the last.
#[must_use]
pub fn imf_fixdate(unix: u64) -> String {
    let seconds = i64::try_from(unix).unwrap_or(LAST).min(LAST);
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    format!("{}", time.format("%a, %d %b %Y %H:%M:%S GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(unix), text);
        }
    }
}
