use http::header::{ACCEPT_LANGUAGE, HeaderValue};
use proptest::prelude::*;

use super::headers;
use crate::vary::{accept_language, language_preferred, normalise_field, single_language};

fn normal(lines: &[&str]) -> String {
    let values: Vec<_> = lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect();
    normalise_field(&ACCEPT_LANGUAGE, values.iter())
}

#[test]
fn rfc9110_s12_5_4_accept_language_in_comparable_form() {
    for (lines, expected) in [
        (&["en, de"][..], "de,en"),
        (&["de, en"], "de,en"),
        (&["eN, De"], "de,en"),
        (&[" en ,   de"], "de,en"),
        (&["en", "de"], "de,en"),
        (&["de-CH, de;q=0.9, en;q=0.80, *;q=0.500"], "de-ch,de;q=0.9,en;q=0.8,*;q=0.5"),
        (&["en;q=0.8,de;q=0.9"], "de;q=0.9,en;q=0.8"),
        (&["en; q=0.8 ; "], "en; q=0.8 ; "),
        (&["en ;\tQ=1.000"], "en"),
        (&["en;q=1, de;q=0"], "en,de;q=0"),
        (&["en;q=0.000"], "en;q=0"),
        (&["en;q=0.05"], "en;q=0.05"),
        (&["en;q=0.005,de;q=0.123"], "de;q=0.123,en;q=0.005"),
        (&["en;q=0.12345"], "en;q=0.123"),
        (&["en;q=0.0001"], "en;q=0.001"),
        (&["en, en, EN"], "en"),
        (&["en, en;q=0.5"], "en,en;q=0.5"),
        (&["en,, de,"], "de,en"),
        (&["zh-Hant-TW, *"], "*,zh-hant-tw"),
    ] {
        assert_eq!(normal(lines), expected.trim_end(), "{lines:?}");
    }
}

#[test]
fn rfc9111_s4_1_what_is_no_accept_language_is_compared_as_it_stands() {
    for (value, expected) in [
        ("en;q=2, DE", "en;q=2,DE"),
        ("en;q=", "en;q="),
        ("en;x=1 , de", "en;x=1,de"),
        ("en;q=0.5;q=0.6", "en;q=0.5;q=0.6"),
        ("en us", "en us"),
        ("en_US", "en_US"),
        ("en-", "en-"),
        ("\u{e9}", "\u{c3}\u{a9}"),
        (",", ","),
    ] {
        assert_eq!(normal(&[value]), expected, "{value}");
        assert_eq!(accept_language(&headers(&[("accept-language", value)])), None, "{value}");
    }
    assert_eq!(normal(&[]), "");
    assert_eq!(normal(&[""]), "\0");
}

#[test]
fn the_origin_sees_the_form_that_picks_the_variant() {
    let request = headers(&[("accept-language", "EN;q=0.50"), ("accept-language", " de")]);
    assert_eq!(accept_language(&request).unwrap(), "de,en;q=0.5");
    assert_eq!(accept_language(&headers(&[])), None);
}

#[test]
fn rfc9111_s4_1_only_the_one_language_wanted_most_is_preferred() {
    for (field, language, expected) in [
        ("fr;q=0.5, de;q=1.0", "de", true),
        ("fr;q=0.5, DE", "de", true),
        ("fr;q=0.5, de;q=0.7", "de", true),
        ("fr;q=0.5, de;q=1.0", "fr", false),
        ("en, de", "de", false),
        ("de, *", "de", false),
        ("*", "de", false),
        ("*", "*", false),
        ("de", "de-ch", false),
        ("de-ch", "de", false),
        ("de;q=0", "de", false),
        ("de, de;q=0.2", "de", false),
        ("de, de", "de", false),
        ("de;q=2", "de", false),
        ("", "de", false),
        ("de, fr;q=0.9", "", false),
    ] {
        let request = headers(&[("accept-language", field)]);
        assert_eq!(language_preferred(language, &request), expected, "{field} {language}");
    }
    assert!(!language_preferred("de", &headers(&[])));
}

#[test]
fn rfc9110_s8_5_a_response_in_one_language() {
    for (lines, expected) in [
        (&[("content-language", "De-CH")][..], Some("de-ch")),
        (&[("content-language", "de, en")], None),
        (&[("content-language", "de"), ("content-language", "en")], None),
        (&[("content-language", "*")], None),
        (&[("content-language", "")], None),
        (&[], None),
    ] {
        assert_eq!(single_language(&headers(lines)).as_deref(), expected);
    }
}

proptest! {
    #[test]
    fn the_comparable_form_is_final_and_order_does_not_matter(
        members in prop::collection::vec("( ?[a-zA-Z]{1,3}(-[a-zA-Z]{1,3})?|\\*)( ?; ?q=(0(\\.[0-9]{0,3})?|1(\\.0{0,3})?))?", 1..5),
        turn in 0usize..5,
    ) {
        let once = normal(&[&members.join(",")]);
        prop_assert_eq!(&normal(&[&once]), &once);
        let mut turned = members.clone();
        turned.rotate_left(turn % members.len());
        prop_assert_eq!(&normal(&[&turned.join(" , ")]), &once);
        prop_assert_eq!(&normal(&turned.iter().map(String::as_str).collect::<Vec<_>>()), &once);
    }

    #[test]
    fn no_language_field_panics(value in "([a-z*]|-|;|q=|0|1|\\.|,| |\u{e9}|\"){0,16}", language in "[a-z-]{0,5}") {
        let request = headers(&[("accept-language", &value)]);
        let preferred = language_preferred(&language, &request);
        prop_assert!(!preferred || accept_language(&request).is_some());
        let once = normal(&[&value]);
        if let Some(sent) = accept_language(&request) {
            prop_assert_eq!(sent.to_str().unwrap(), once);
        }
    }
}
