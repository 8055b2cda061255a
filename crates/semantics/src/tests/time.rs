use std::time::{Duration, UNIX_EPOCH};

use super::{NOVEMBER_1994, NOW};
use crate::time::{Timestamp, parse_http_date};

#[test]
fn rfc9110_s5_6_7_three_formats_name_the_same_second() {
    for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(NOVEMBER_1994), "{text}");
    }
}

#[test]
fn rfc9111_s4_2_dates_are_matched_case_insensitively_and_utc_is_gmt() {
    for text in [
        "SUN, 06 nov 1994 08:49:37 gMT",
        "sun, 06 NOV 1994 08:49:37 UTC",
        "SUNDAY, 06-NOV-94 08:49:37 utc",
        "sun nov  6 08:49:37 1994",
        "  Sun, 06 Nov 1994 08:49:37 GMT ",
    ] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(NOVEMBER_1994), "{text}");
    }
}

#[test]
fn rfc9110_s5_6_7_a_two_digit_year_lies_at_most_fifty_years_ahead() {
    let year =
        |text: &str, now: Timestamp| parse_http_date(text.as_bytes(), now).map(|time| date_year(&super::date(time)));
    let in_2025 = NOW;
    let in_1999 = Timestamp::from_secs(930_000_000);
    // The weekday must fit the year, so each row has the right one.
    assert_eq!(year("Wednesday, 18-Aug-50 02:01:18 GMT", in_1999), None);
    assert_eq!(year("Thursday, 18-Aug-50 02:01:18 GMT", in_2025), Some(2050));
    assert_eq!(year("Wednesday, 06-Nov-75 08:49:37 GMT", in_2025), Some(2075));
    assert_eq!(year("Saturday, 06-Nov-76 08:49:37 GMT", in_2025), Some(1976));
    assert_eq!(year("Sunday, 06-Nov-94 08:49:37 GMT", in_2025), Some(1994));
    assert_eq!(year("Friday, 01-Jan-99 00:00:00 GMT", in_1999), Some(1999));
    assert_eq!(year("Monday, 06-Nov-00 08:49:37 GMT", in_2025), Some(2000));
}

fn date_year(date: &str) -> u32 {
    date[12..16].parse().unwrap()
}

#[test]
fn rfc9110_s5_6_7_a_leap_second_is_the_second_after() {
    for text in ["Sat, 31 Dec 2016 23:59:60 GMT", "Saturday, 31-Dec-16 23:59:60 GMT", "Sat Dec 31 23:59:60 2016"] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(Timestamp::from_secs(1_483_228_800)), "{text}");
    }
    assert_eq!(parse_http_date(b"Sat, 31 Dec 2016 23:58:60 GMT", NOW), None);
    assert_eq!(parse_http_date(b"Sat, 31 Dec 2016 23:59:61 GMT", NOW), None);
}

#[test]
fn rfc9110_s5_6_7_what_is_no_date_is_none() {
    for text in [
        "",
        "0",
        "-1",
        "now",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 18 Aug 2050 24:01:18 GMT",
        "Mon, 31 Feb 2050 02:01:18 GMT",
        "Fri, 18 Aug 2050 02:01:18 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sünday, 06-Nov-94 08:49:37 GMT",
    ] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), None, "{text}");
    }
}

#[test]
fn http_date_writes_imf_fixdate_and_stays_in_the_year_9999() {
    let text = |time: Timestamp| time.http_date().to_str().unwrap().to_owned();
    assert_eq!(text(NOVEMBER_1994), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(text(Timestamp::from_millis(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(text(Timestamp::from_millis(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(text(Timestamp::from_millis(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
}

#[test]
fn arithmetic_saturates_at_both_ends() {
    let last = Timestamp::from_millis(u64::MAX);
    assert_eq!(last.plus(Duration::MAX), last);
    assert_eq!(Timestamp::from_secs(u64::MAX), last);
    assert_eq!(NOW.since(last), Duration::ZERO);
    assert_eq!(Timestamp::from_system(UNIX_EPOCH - Duration::from_secs(1)).as_millis(), 0);
    assert_eq!(Timestamp::from_system(UNIX_EPOCH + Duration::from_millis(1500)), Timestamp::from_millis(1500));
}
