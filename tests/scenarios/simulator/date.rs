//! HTTP-dates of the simulated time, in milliseconds since the epoch.

use std::fmt::Write as _;

const DAY: u64 = 86_400;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: usize) -> u64 {
    [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month]
}

/// The second of this time.
pub(super) fn format(millis: u64) -> String {
    let (seconds, weekday) = (millis / 1000 % DAY, DAYS[usize::try_from(millis / 1000 / DAY % 7).unwrap()]);
    let (mut days, mut year, mut month) = (millis / 1000 / DAY, 1970, 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    while days >= days_of(year, month) {
        days -= days_of(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{weekday}, {:02} {} {year}", days + 1, MONTHS[month]);
    write!(text, " {hour:02}:{minute:02}:{second:02} GMT").unwrap();
    text
}

/// Of what [`format`] wrote.
pub(super) fn parse(text: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let (year, month) = (number(3), MONTHS.iter().position(|name| *name == words[2]).unwrap());
    let before: u64 = (1970..year).map(|year| 365 + u64::from(leap(year))).sum();
    let days = before + (0..month).map(|month| days_of(year, month)).sum::<u64>() + number(1) - 1;
    (days * DAY + number(4) * 3600 + number(5) * 60 + number(6)) * 1000
}

#[test]
fn dates_of_the_simulator_are_those_of_the_standard() {
    assert_eq!(format(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
    for millis in [0, 951_782_400_000, 1_700_000_000_000, 1_709_164_800_000, 4_102_444_799_000] {
        assert_eq!(parse(&format(millis)), millis);
    }
}
