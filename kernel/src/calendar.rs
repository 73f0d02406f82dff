//! Days and times of the Gregorian calendar as seconds, for boards whose clock counts in them.

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year.
    pub year: u64,
    /// Month, from 1.
    pub month: u64,
    /// Day of the month, from 1.
    pub day: u64,
}

/// Seconds from 1970 to a day at `[hour, minute, second]`; `None` for what is no date, or before that.
#[must_use]
pub fn unix_seconds(Date { year, month, day }: Date, [hour, minute, second]: [u64; 3]) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = 28 + u64::from(is_leap);
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *months.get(index)?;
    // A leap second is the next minute's first.
    if !(1970..=9999).contains(&year)
        || !(1..=length).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let days = years + months[..index].iter().sum::<u64>() + day - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let seconds = |year, month, day, time| unix_seconds(Date { year, month, day }, time);
        // By `date -u -d DATE +%s`.
        assert_eq!(seconds(1970, 1, 1, [0, 0, 0]), Some(0));
        assert_eq!(seconds(2000, 2, 29, [23, 59, 59]), Some(951_868_799));
        assert_eq!(seconds(2026, 12, 1, [13, 6, 51]), Some(1_796_130_411));
        assert_eq!(seconds(2100, 3, 1, [0, 0, 0]), Some(4_107_542_400));
        for (month, day, time) in
            [(0, 1, [0; 3]), (13, 1, [0; 3]), (2, 29, [0; 3]), (1, 0, [0; 3]), (1, 1, [24, 0, 0])]
        {
            assert_eq!(seconds(2026, month, day, time), None);
        }
        assert_eq!(seconds(1969, 12, 31, [0; 3]), None);
    }
}
