//! Points in time and HTTP dates (RFC 9110 §5.6.7).

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use httpdate::HttpDate;

/// The last second an HTTP-date can name: 31 December 9999, 23:59:59.
const LAST_HTTP_SECOND: u64 = 253_402_300_799;
/// A mean Gregorian year; exact enough to tell the current year for two-digit years.
const SECONDS_PER_YEAR: u64 = 31_556_952;
/// No valid HTTP-date is longer ("Wednesday, 06-Nov-94 08:49:37 GMT" has 33 bytes).
const LONGEST_HTTP_DATE: usize = 40;

/// A point in time: milliseconds since the Unix epoch.
///
/// It is read once a request by the caller; nothing in this crate reads a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// From the system's clock reading; a time before the epoch becomes the epoch.
    pub fn from_system(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time that has passed since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time moved on by `duration`; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// This time as an IMF-fixdate (RFC 9110 §5.6.7); later than the year 9999 becomes the last second of it.
    pub fn http_date(self) -> HeaderValue {
        let secs = self.as_secs().min(LAST_HTTP_SECOND);
        let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(secs));
        let mut text = [0u8; 29];
        let written = write!(&mut text[..], "{date}");
        // Neither can fail: an IMF-fixdate has 29 visible bytes. The epoch is the harmless answer if that ever changes.
        match (written, HeaderValue::from_bytes(&text)) {
            (Ok(()), Ok(value)) => value,
            _ => HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"),
        }
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Parses an HTTP-date in any of its three formats (RFC 9110 §5.6.7), case-insensitively (RFC 9111 §4.2). `UTC` is taken for
/// `GMT`, as RFC 7234 §4.2 had it. A two-digit year is the one that lies at most 50 years after `now`.
///
/// Returns `None` for anything else, which for `Expires` means stale (RFC 9111 §5.3).
pub fn parse_http_date(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let value = value.trim_ascii();
    if value.len() > LONGEST_HTTP_DATE || !value.is_ascii() {
        return None;
    }
    let mut buffer = [0u8; LONGEST_HTTP_DATE];
    let text = buffer.get_mut(..value.len())?;
    text.copy_from_slice(value);
    canonical_case(text);
    match imf_from_rfc850(text, now) {
        Some(mut imf) => parse_second(&mut imf),
        None => parse_second(text),
    }
}

/// Parses an IMF-fixdate or asctime date in canonical case. A leap second (`23:59:60`) is the second after the one before it.
fn parse_second(text: &mut [u8]) -> Option<Timestamp> {
    let leap = text.windows(6).position(|clock| clock == b":59:60");
    if let Some(seconds) = leap.and_then(|at| text.get_mut(at + 4..at + 6)) {
        seconds.copy_from_slice(b"59");
    }
    let parsed = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    let extra = Duration::from_secs(u64::from(leap.is_some()));
    Some(Timestamp::from_system(parsed).plus(extra))
}

/// Each word with one capital, and the zone as `GMT`.
fn canonical_case(text: &mut [u8]) {
    let mut inside_word = false;
    for byte in text.iter_mut() {
        if inside_word {
            byte.make_ascii_lowercase();
        } else {
            byte.make_ascii_uppercase();
        }
        inside_word = byte.is_ascii_alphabetic();
    }
    if let Some(zone) = text.last_chunk_mut::<4>()
        && (zone == b" Gmt" || zone == b" Utc")
    {
        *zone = *b" GMT";
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` as `Sun, 06 Nov 1994 08:49:37 GMT`; `None` when it is not of that format.
fn imf_from_rfc850(text: &[u8], now: Timestamp) -> Option<[u8; 29]> {
    let comma = text.iter().position(|&byte| byte == b',')?;
    let (weekday, rest) = text.split_at(comma);
    let date: &[u8; 24] = rest.try_into().ok()?;
    if !is_weekday(weekday) || date[4] != b'-' || date[8] != b'-' {
        return None;
    }
    let two_digits = decimal_digit(date[9])? * 10 + decimal_digit(date[10])?;
    let this_year = 1970 + now.as_secs() / SECONDS_PER_YEAR;
    let mut year = this_year / 100 * 100 + two_digits;
    // §5.6.7: more than 50 years ahead means the most recent year in the past with these digits.
    if year > this_year + 50 {
        year -= 100;
    }
    let mut imf = *b"Ddd, 00 Mmm 0000 00:00:00 GMT";
    imf[..3].copy_from_slice(weekday.get(..3)?);
    imf[5..7].copy_from_slice(&date[2..4]);
    imf[8..11].copy_from_slice(&date[5..8]);
    for (digit, power) in imf[12..16].iter_mut().zip([1000, 100, 10, 1]) {
        *digit = b'0' + u8::try_from(year / power % 10).ok()?;
    }
    imf[17..].copy_from_slice(&date[12..]);
    Some(imf)
}

fn is_weekday(name: &[u8]) -> bool {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    NAMES.iter().any(|full| full.as_bytes() == name)
}

fn decimal_digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}
