//! Functions of the Akamai dialect for which there is a library: dates in a form of the template's own, and MD5.

use std::fmt::Write as _;

use chrono::DateTime;
use chrono::format::StrftimeItems;
use md5::{Digest as _, Md5};

/// Longest form of a date, in bytes.
const MAX_FORM: usize = 1 << 10;

/// A time in seconds since 1970, UTC, by a form as of C's `strftime`. None where the form is none.
pub(super) fn strftime(seconds: i64, form: &str) -> Option<String> {
    if form.len() > MAX_FORM {
        return None;
    }
    let time = DateTime::from_timestamp(seconds, 0)?;
    let mut text = String::new();
    write!(text, "{}", time.format_with_items(StrftimeItems::new(form))).ok()?;
    Some(text)
}

/// The MD5 digest (RFC 1321) in hexadecimal digits: for comparing, not for keeping secrets.
pub(super) fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The MD5 digest as four signed numbers of 32 bits, least significant byte first, as the dialect has it.
pub(super) fn md5_numbers(text: &str) -> Vec<i64> {
    let digest = Md5::digest(text.as_bytes());
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    digest.chunks(4).map(|bytes| i64::from(number(bytes).cast_signed())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (form, expected) in [
            ("%Y-%m-%d", Some("1994-11-06")),
            ("%a, %d %b %Y %H:%M:%S GMT", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            ("at %s%%", Some("at 784111777%")),
            ("", Some("")),
            ("%", None),
            ("%Q", None),
        ] {
            assert_eq!(strftime(784_111_777, form).as_deref(), expected, "{form}");
        }
        assert_eq!(strftime(i64::MAX, "%Y"), None);
        assert_eq!(strftime(0, &"%c".repeat(MAX_FORM)), None);
    }

    #[test]
    fn md5_of_rfc_1321() {
        assert_eq!(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
        // 90 01 50 98, 3c d2 4f b0, d6 96 3f 7d, 28 e1 7f 72.
        assert_eq!(md5_numbers("abc"), [-1_739_587_184, -1_336_946_116, 2_101_319_382, 1_920_983_336]);
    }
}
