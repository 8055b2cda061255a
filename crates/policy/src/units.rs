//! Durations (`500ms 30s 2m 1h 7d`) and sizes (`64KiB 512MiB 1GiB`) as the operator writes them.

use std::time::Duration;

/// Longer is a mistake, and adding it to a time stamp must never overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a duration or a size could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No whole number at the beginning.
    #[error("does not begin with a whole number")]
    Number,
    /// A number without its unit.
    #[error("has no unit")]
    NoUnit,
    /// A number with a decimal point, or a comma in its place.
    #[error("has a fraction")]
    Fraction,
    /// Something else than a known unit after the number.
    #[error("has an unknown unit")]
    Unit,
    /// The value does not fit.
    #[error("is too large")]
    TooLarge,
}

/// Reads `500ms`, `30s`, `2m`, `1h`, `7d`; `0` needs no unit. At most 100 years.
///
/// # Errors
/// See [`UnitError`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return if number == 0 { Ok(Duration::ZERO) } else { Err(UnitError::NoUnit) };
    }
    let factor = factor(&DURATION_UNITS, unit)?;
    let duration = number.checked_mul(factor).map(Duration::from_millis);
    duration.filter(|d| *d <= LONGEST).ok_or(UnitError::TooLarge)
}

/// Reads `64KiB`, `512MiB`, `1GiB`, `100B`; a bare number is bytes. Units are powers of 1024.
///
/// # Errors
/// See [`UnitError`].
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Ok(number);
    }
    number.checked_mul(factor(&SIZE_UNITS, unit)?).ok_or(UnitError::TooLarge)
}

/// The shortest text that [`parse_duration`] reads back to the same duration (whole milliseconds).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    format(&DURATION_UNITS, millis, "0s")
}

/// The shortest text that [`parse_size`] reads back to the same number of bytes.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    format(&SIZE_UNITS, bytes, "0B")
}

/// What a number with a fraction is without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// As much, in a smaller unit.
    Exactly(String),
    /// The nearest that there is, in the smallest unit or a larger one.
    Nearly(String),
    /// It is less than half of the smallest unit.
    Nothing,
}

/// The duration in whole milliseconds nearest to a number with a fraction: `1500ms` for `1.5` and `s`.
pub(crate) fn whole_duration(number: &str, unit: &str) -> Option<Whole> {
    whole(number, factor(&DURATION_UNITS, unit).ok()?, |millis| {
        Some(format_duration(Duration::from_millis(millis))).filter(|text| parse_duration(text).is_ok())
    })
}

/// The size in whole bytes nearest to a number with a fraction: `1536KiB` for `1.5` and `MiB`.
pub(crate) fn whole_size(number: &str, unit: &str) -> Option<Whole> {
    whole(number, factor(&SIZE_UNITS, unit).ok()?, |bytes| Some(format_size(bytes)))
}

/// So many times `factor`; none where that is too much, or is zero as it was written.
fn whole(number: &str, factor: u64, format: impl Fn(u64) -> Option<String>) -> Option<Whole> {
    /// More places are less than a nanosecond of a second.
    const PLACES: usize = 9;
    if !number.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return None;
    }
    let (integer, fraction) = number.split_once(['.', ','])?;
    let integer: u128 = if integer.is_empty() { 0 } else { integer.parse::<u64>().ok()?.into() };
    let (fraction, rest) = fraction.split_at_checked(PLACES).unwrap_or((fraction, ""));
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = fraction.parse::<u64>().ok()?.into();
    let factor = u128::from(factor);
    let is_exact = (fraction * factor).is_multiple_of(scale) && rest.bytes().all(|digit| digit == b'0');
    match u64::try_from(integer * factor + (fraction * factor + scale / 2) / scale).ok()? {
        0 => Some(Whole::Nothing),
        value if is_exact => format(value).map(Whole::Exactly),
        value => format(value).map(Whole::Nearly),
    }
}

/// Where a number with digits on both sides of a point, or a comma, or behind it only, ends; 0 where none stands first.
pub(crate) fn fraction_end(text: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let integer = digits(text);
    let places = text[integer..].strip_prefix(['.', ',']).map_or(0, digits);
    if places == 0 { 0 } else { integer + 1 + places }
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    if fraction_end(text) > 0 {
        return Err(UnitError::Fraction);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Number);
    }
    Ok((number.parse().map_err(|_| UnitError::TooLarge)?, unit))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Result<u64, UnitError> {
    let known = units.iter().find(|(name, _)| *name == unit);
    known.map(|(_, factor)| *factor).ok_or(UnitError::Unit)
}

fn format(units: &[(&str, u64)], value: u64, zero: &str) -> String {
    let fitting = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    fitting.map_or_else(|| zero.to_owned(), |(unit, factor)| format!("{}{unit}", value / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, error) in [
            ("", UnitError::Number),
            ("s", UnitError::Number),
            ("-1s", UnitError::Number),
            ("30", UnitError::NoUnit),
            ("1.5h", UnitError::Fraction),
            ("0,5s", UnitError::Fraction),
            (".5s", UnitError::Fraction),
            ("1.s", UnitError::Unit),
            ("30 s", UnitError::Unit),
            ("3S", UnitError::Unit),
            ("36501d", UnitError::TooLarge),
            ("99999999999999999999s", UnitError::TooLarge),
            ("18446744073709551615d", UnitError::TooLarge),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("64KiB", 65_536), ("512MiB", 536_870_912), ("1GiB", 1 << 30), ("100B", 100), ("7", 7)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("MiB", UnitError::Number),
            ("1MB", UnitError::Unit),
            ("1mib", UnitError::Unit),
            ("17179869184GiB", UnitError::TooLarge),
        ] {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn fractions_become_whole_numbers_of_a_smaller_unit() {
        let (exactly, nearly) =
            (|text: &str| Some(Whole::Exactly(text.to_owned())), |text: &str| Some(Whole::Nearly(text.to_owned())));
        for (number, unit, whole) in [
            ("1.5", "s", exactly("1500ms")),
            ("0,5", "m", exactly("30s")),
            (".25", "h", exactly("15m")),
            ("2.0", "d", exactly("2d")),
            ("1.50000000000", "s", exactly("1500ms")),
            ("0.3333", "s", nearly("333ms")),
            ("1.50000000001", "s", nearly("1500ms")),
            ("0.0001", "ms", Some(Whole::Nothing)),
            ("0.0", "s", None),
            ("36500.5", "d", None),
            ("1.5", "fortnights", None),
            ("99999999999999999999.5", "s", None),
            ("18446744073709551615.9", "d", None),
        ] {
            assert_eq!(whole_duration(number, unit), whole, "{number}{unit}");
        }
        assert_eq!(whole_size("1.5", "MiB"), exactly("1536KiB"));
        assert_eq!(whole_size("0.1", "GiB"), nearly("107374182B"));
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in 0..=LONGEST.as_millis() as u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }

        #[test]
        fn any_fraction_is_read_without_panic(integer in "[0-9]{0,25}", places in "[0-9]{1,25}", unit in "(ms|s|m|h|d|B|KiB|TiB)") {
            let number = format!("{integer}.{places}");
            if let Some(Whole::Exactly(text) | Whole::Nearly(text)) = whole_duration(&number, &unit) {
                prop_assert!(parse_duration(&text).is_ok());
            }
            if let Some(Whole::Exactly(text) | Whole::Nearly(text)) = whole_size(&number, &unit) {
                prop_assert!(parse_size(&text).is_ok());
            }
        }
    }
}
