//! `strftime_now(format)`: the date and time of a prompt, in UTC.
//!
//! Formats are those of Python's `strftime` in the C locale, as `transformers` has them.

use alloc::format;

use chrono::DateTime;

use super::arguments::Given;
use super::error::TemplateError;
use super::fuel::TEXT;
use super::render::Renderer;
use super::value::Value;

/// Conversions that mean the same to Python and here, and flags that they take: no padding, blanks, zeros.
const CONVERSIONS: &str = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyY%";
const FLAGS: [char; 3] = ['-', '_', '0'];
/// Bytes that a conversion puts out at most, "Tue Dec  1 16:45:09 2026" and a year of six digits.
const LONGEST: usize = 32;

impl Renderer {
    /// The time `unix`, seconds since 1970, as `given` says.
    pub fn strftime_now(&self, unix: u64, given: Given) -> Result<Value, TemplateError> {
        const CALLEE: &str = "strftime_now";
        let [format] = self.bind(given, CALLEE, ["format"])?;
        let format = self.text_argument(format, CALLEE, "format")?;
        self.pay(TEXT + LONGEST * format.as_str().len(), CALLEE)?;
        if !is_known(format.as_str()) {
            return Err(self.bad_argument(CALLEE, "format", "has a conversion that is not supported"));
        }
        let time = i64::try_from(unix).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let time = time.ok_or_else(|| self.bad_argument(CALLEE, "format", "is of a time past all years"))?;
        Ok(Value::text(&format!("{}", time.format(format.as_str()))))
    }
}

/// Whether every conversion of `format` is known.
fn is_known(format: &str) -> bool {
    let mut rest = format.chars();
    while let Some(char) = rest.next() {
        if char == '%' {
            let conversion = rest.next().filter(|char| !FLAGS.contains(char)).or_else(|| rest.next());
            if !conversion.is_some_and(|char| CONVERSIONS.contains(char)) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::jinja::Template;
    use alloc::string::{String, ToString};

    fn render(format: &str, unix: u64) -> Result<String, String> {
        let template = Template::parse(&format!("{{{{ strftime_now({format:?}) }}}}"));
        let rendered = template.and_then(|template| template.render(Default::default(), Some(unix)));
        rendered.map(|text| text.as_str().into()).map_err(|error| error.to_string())
    }

    const EXPECTED: [(u64, &str); 6] = [
        (
            0,
            "Thu Thursday Jan January Thu Jan  1 00:00:00 1970 19 01 01/01/70  1 1970-01-01 70 1970 Jan 00 \
            12 001  0 12 01 00 AM am 12:00:00 AM 00:00 0 00 00:00:00 4 00 01 4 00 01/01/70 00:00:00 70 1970 %",
        ),
        (
            951_782_399,
            "Mon Monday Feb February Mon Feb 28 23:59:59 2000 20 28 02/28/00 28 2000-02-28 00 2000 Feb 23 \
            11 059 23 11 02 59 PM pm 11:59:59 PM 23:59 951782399 59 23:59:59 1 09 09 1 09 02/28/00 23:59:59 00 2000 %",
        ),
        (
            1_780_650_001,
            "Fri Friday Jun June Fri Jun  5 09:00:01 2026 20 05 06/05/26  5 2026-06-05 26 2026 Jun 09 09 \
            156  9  9 06 00 AM am 09:00:01 AM 09:00 1780650001 01 09:00:01 5 22 23 5 22 06/05/26 09:00:01 26 2026 %",
        ),
        (
            1_798_761_599,
            "Thu Thursday Dec December Thu Dec 31 23:59:59 2026 20 31 12/31/26 31 2026-12-31 26 2026 Dec 23 \
            11 365 23 11 12 59 PM pm 11:59:59 PM 23:59 1798761599 59 23:59:59 4 52 53 4 52 12/31/26 23:59:59 26 2026 %",
        ),
        (
            4_107_542_400,
            "Mon Monday Mar March Mon Mar  1 00:00:00 2100 21 01 03/01/00  1 2100-03-01 00 2100 Mar 00 12 \
            060  0 12 03 00 AM am 12:00:00 AM 00:00 4107542400 00 00:00:00 1 09 09 1 09 03/01/00 00:00:00 00 2100 %",
        ),
        (
            1_767_225_600,
            "Thu Thursday Jan January Thu Jan  1 00:00:00 2026 20 01 01/01/26  1 2026-01-01 26 2026 Jan 00 \
            12 001  0 12 01 00 AM am 12:00:00 AM 00:00 1767225600 00 00:00:00 4 00 01 4 00 01/01/26 00:00:00 26 2026 %",
        ),
    ];
    const FLAGGED: &str = "5/6/ 9/05";

    /// Expected values are Python 3.11's, `datetime.fromtimestamp(unix, UTC).strftime(format)` in the C locale.
    #[test]
    fn times_are_pythons() {
        let all = "%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %p %P %r %R %s %S %T %u %U %V %w %W %x \
                   %X %y %Y %%";
        for (unix, expected) in EXPECTED {
            assert_eq!(render(all, unix).as_deref(), Ok(expected));
        }
        assert_eq!(render("%-d/%-m/%_H/%0e", 1_780_650_001).as_deref(), Ok(FLAGGED));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for format in ["%f", "%", "%-", "%Q", "%:z", "%Z", "%3d", "%--d"] {
            let error = render(format, 0).expect_err(format);
            assert!(error.contains("strftime_now") && error.contains("format"), "{error}");
        }
        assert!(render("%Y", u64::MAX).is_err());
        assert!(render(&"%c".repeat(1 << 20), 0).is_err(), "more than a rendering may cost");
    }
}
