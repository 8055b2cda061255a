use proptest::prelude::*;

use super::{headers, lines};
use crate::{announce_trailers, takes_trailers};

#[test]
fn rfc9110_10_1_4_who_takes_trailers() {
    for (te, wanted) in [
        (&[][..], false),
        (&["trailers"], true),
        (&["Trailers"], true),
        (&["gzip;q=0.5, trailers"], true),
        (&["gzip", "trailers"], true),
        (&["gzip"], false),
        (&["trailers2"], false),
        (&[""], false),
    ] {
        let fields: Vec<_> = te.iter().map(|value| ("te", *value)).collect();
        assert_eq!(takes_trailers(&headers(&fields)), wanted, "{te:?}");
    }
}

#[test]
fn rfc9110_6_6_2_what_is_announced_is_what_may_pass() {
    for (announced, wanted) in [
        (&[][..], ""),
        (&["X-Sum"], "x-sum"),
        (&["x-a, , x-secret", "x-b"], "x-a, x-b"),
        (&["x-secret"], ""),
        (&["connection, keep-alive, transfer-encoding, x-a"], "x-a"),
        (&["not a name, x-a"], "x-a"),
        (&[""], ""),
    ] {
        let fields: Vec<_> = announced.iter().map(|value| ("trailer", *value)).collect();
        let mut headers = headers(&fields);
        announce_trailers(&mut headers, |name| name != "x-secret");
        assert_eq!(lines(&headers, "trailer"), wanted, "{announced:?}");
        assert_eq!(headers.contains_key("trailer"), !wanted.is_empty(), "{announced:?}");
    }
}

proptest! {
    #[test]
    fn any_announcement_is_read_and_keeps_its_form(line in "[ -~\\t]{0,40}") {
        let mut headers = headers(&[("trailer", line.trim())]);
        let _ = takes_trailers(&headers);
        announce_trailers(&mut headers, |_| true);
        let first = headers.clone();
        announce_trailers(&mut headers, |_| true);
        prop_assert_eq!(first, headers);
    }
}
