//! The date of a log line, worked out once a second.

/// Seconds of one day.
const DAY: u64 = 86_400;

/// The names of the months as the Common Log Format writes them.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date and time of day in UTC, from seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// Proleptic Gregorian calendar. Years are counted from the 1st of March, so that the leap day comes last.
    fn from_unix(seconds: u64) -> Self {
        const DAYS_FROM_MARCH_0000_TO_1970: u64 = 719_468;
        const DAYS_IN_400_YEARS: u64 = 146_097;
        let (days, of_day) = (seconds / DAY + DAYS_FROM_MARCH_0000_TO_1970, seconds % DAY);
        let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

/// The text of the second that is being logged; asked for again within that second, it costs a comparison.
#[derive(Debug, Default)]
pub(super) struct Dates {
    second: Option<u64>,
    clf: String,
    rfc3339: String,
}

impl Dates {
    /// `10/Oct/2000:13:55:36 +0000`, the form of the Common Log Format. `millis`: since the Unix epoch.
    pub(super) fn clf(&mut self, millis: u64) -> &str {
        self.at(millis / 1_000);
        &self.clf
    }

    /// `2000-10-10T13:55:36`, RFC 3339 §5.6 without fraction and zone (which is UTC).
    pub(super) fn rfc3339(&mut self, millis: u64) -> &str {
        self.at(millis / 1_000);
        &self.rfc3339
    }

    /// `13:55:36`, UTC.
    pub(super) fn time_of_day(&mut self, millis: u64) -> &str {
        self.rfc3339(millis).split_once('T').map_or("", |(_, time)| time)
    }

    fn at(&mut self, second: u64) {
        if self.second == Some(second) {
            return;
        }
        let Civil { year, month, day, hour, minute, second: s } = Civil::from_unix(second);
        let name = MONTHS[(month - 1) as usize % 12];
        self.clf = format!("{day:02}/{name}/{year}:{hour:02}:{minute:02}:{s:02} +0000");
        self.rfc3339 = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{s:02}");
        self.second = Some(second);
    }
}

/// `2000-10-10T13:55:36Z`, RFC 3339 §5.6. `millis`: since the Unix epoch.
pub(crate) fn rfc3339(millis: u64) -> String {
    format!("{}Z", Dates::default().rfc3339(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_moments() {
        for (seconds, clf, rfc3339) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00"),
            (784_111_777, "06/Nov/1994:08:49:37 +0000", "1994-11-06T08:49:37"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000", "2000-02-29T00:00:00"),
            (1_709_251_199, "29/Feb/2024:23:59:59 +0000", "2024-02-29T23:59:59"),
            (1_709_251_200, "01/Mar/2024:00:00:00 +0000", "2024-03-01T00:00:00"),
            (4_102_444_799, "31/Dec/2099:23:59:59 +0000", "2099-12-31T23:59:59"),
            (4_107_542_400, "01/Mar/2100:00:00:00 +0000", "2100-03-01T00:00:00"),
        ] {
            let mut dates = Dates::default();
            assert_eq!(dates.clf(seconds * 1_000 + 999), clf);
            assert_eq!(dates.rfc3339(seconds * 1_000), rfc3339);
        }
    }

    #[test]
    fn every_day_of_400_years_follows_the_one_before() {
        let mut before = Civil::from_unix(0);
        for day in 1..146_097 {
            let now = Civil::from_unix(day * DAY);
            let next_day = now.day == before.day + 1 && now.month == before.month && now.year == before.year;
            let next_month = now.day == 1 && before.day >= 28 && (now.month == before.month + 1 || now.month == 1);
            assert!(next_day || next_month, "{before:?} then {now:?}");
            before = now;
        }
        assert_eq!((before.year, before.month, before.day), (2369, 12, 31));
    }

    #[test]
    fn the_text_changes_with_the_second_only() {
        let mut dates = Dates::default();
        assert_eq!(dates.time_of_day(1_000), "00:00:01");
        assert_eq!(dates.time_of_day(1_999), "00:00:01");
        assert_eq!(dates.time_of_day(2_000), "00:00:02");
    }
}
