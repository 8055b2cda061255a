//! RFC 9111 §4.3.5.

use super::headers;
use crate::{HeadSays, head_says};

#[test]
fn rfc9111_4_3_5_validators_and_length_are_compared() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let stored = headers(&[("etag", "\"a\""), ("last-modified", DATE)]);
    let cases: &[(&[(&str, &str)], HeadSays)] = &[
        (&[("etag", "\"a\""), ("last-modified", DATE), ("content-length", "5")], HeadSays::Same),
        (&[("etag", "\"a\"")], HeadSays::Same),
        (&[("last-modified", "Sunday, 06-Nov-94 08:49:37 GMT")], HeadSays::Same),
        (&[("etag", "\"b\"")], HeadSays::Other),
        (&[("etag", "W/\"a\"")], HeadSays::Other),
        (&[("etag", "\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")], HeadSays::Other),
        (&[("etag", "\"a\""), ("content-length", "6")], HeadSays::Other),
        (&[("content-length", "6")], HeadSays::Other),
        (&[("content-length", "5")], HeadSays::Nothing),
        (&[("content-length", "5, 6")], HeadSays::Nothing),
        (&[], HeadSays::Nothing),
    ];
    for (head, says) in cases {
        assert_eq!(head_says(&headers(head), &stored, Some(5)), *says, "{head:?}");
    }
    assert_eq!(head_says(&headers(&[("etag", "\"a\""), ("content-length", "6")]), &stored, None), HeadSays::Same);
    assert_eq!(head_says(&headers(&[("etag", "\"a\"")]), &headers(&[]), Some(5)), HeadSays::Other);
    let weak = headers(&[("etag", "W/\"a\"")]);
    assert_eq!(head_says(&weak, &weak, None), HeadSays::Same);
}
