use http::HeaderName;
use proptest::collection::vec;
use proptest::prelude::*;

use super::headers;
use crate::field_text::{FieldText, is_token};
use crate::structured::{Item, Member, dictionary, list};

const FIELD: HeaderName = HeaderName::from_static("x-list");

fn parsed(lines: &[&str]) -> Option<Vec<Member>> {
    let lines: Vec<_> = lines.iter().map(|line| ("x-list", *line)).collect();
    list(&headers(&lines), &FIELD)
}

fn token(text: &str) -> Item {
    Item::Token(text.to_owned())
}

fn string(text: &str) -> Item {
    Item::String(text.to_owned())
}

fn plain(items: impl IntoIterator<Item = Item>) -> Option<Vec<Member>> {
    Some(items.into_iter().map(|item| Member { item, parameters: Vec::new() }).collect())
}

#[test]
fn rfc9651_s4_2_1_lists() {
    for (text, expected) in [
        ("sugar, tea, rum", plain([token("sugar"), token("tea"), token("rum")])),
        ("a,b", plain([token("a"), token("b")])),
        ("  a \t,\t b  ", plain([token("a"), token("b")])),
        ("\"a, b\"", plain([string("a, b")])),
        ("\"\"", plain([string("")])),
        ("1, -2, ?0, ?1", plain([Item::Integer(1), Item::Integer(-2), Item::Boolean(false), Item::Boolean(true)])),
        ("()", plain([Item::InnerList(Vec::new())])),
        (
            "(\"foo\" bar), ( \"baz\"  )",
            plain([Item::InnerList(vec![string("foo"), token("bar")]), Item::InnerList(vec![string("baz")])]),
        ),
        ("(a;q=1 b);x", {
            let item = Item::InnerList(vec![token("a"), token("b")]);
            Some(vec![Member { item, parameters: vec![("x".to_owned(), Item::Boolean(true))] }])
        }),
        ("a,", None),
        (",a", None),
        ("a,,b", None),
        ("a b", None),
        ("a;", None),
        ("a ;b", None),
        ("a;B", None),
        ("a; b", Some(vec![Member { item: token("a"), parameters: vec![("b".to_owned(), Item::Boolean(true))] }])),
        ("(a", None),
        ("(a,b)", None),
        ("(\"a\"b)", None),
        ("((a))", None),
        ("a)", None),
        ("", None),
        ("  ", None),
    ] {
        assert_eq!(parsed(&[text]), expected, "{text}");
    }
}

#[test]
fn rfc9651_s4_2_several_lines_are_one_list() {
    assert_eq!(parsed(&["a", "b, c"]), plain([token("a"), token("b"), token("c")]));
    assert_eq!(parsed(&["a", "", "b"]), plain([token("a"), token("b")]));
    // A string does not go on in the next line: the comma between would be ours.
    assert_eq!(parsed(&["\"a\"", "b,"]), None);
    assert_eq!(parsed(&[]), None);
}

#[test]
fn rfc9651_s4_2_3_2_of_a_parameter_the_last_value_counts() {
    let members = parsed(&["a;x=1;y;x=\"2\""]).unwrap();
    let expected = [("x".to_owned(), string("2")), ("y".to_owned(), Item::Boolean(true))];
    assert_eq!(members[0].parameters, expected);
}

#[test]
fn rfc9651_s4_2_items_by_the_exact_grammar() {
    for (text, valid) in [
        ("999999999999999", true),
        ("1000000000000000", false),
        ("-0", true),
        ("-", false),
        ("- 1", false),
        ("1.5", true),
        ("1.", false),
        (".5", false),
        ("1.2345", false),
        ("123456789012.345", true),
        ("1234567890123.4", false),
        ("\"a", false),
        ("\"a\\n\"", false),
        ("\"a\\\\\\\"\"", true),
        ("\"\u{e9}\"", false),
        ("'a'", false),
        ("a:/b*c", true),
        ("*a", true),
        ("1a", false),
        ("a\"", false),
        (":aGVsbG8=:", true),
        (":aGVsbG8:", true),
        ("::", true),
        (":aGVsb:", false),
        (":aGVsbG8==:", false),
        (":a=b:", false),
        (":aGVs bG8=:", false),
        (":aGVsbG8=", false),
        ("?2", false),
        ("?", false),
        ("@1659578233", true),
        ("@1.5", false),
        ("@", false),
        ("%\"f%c3%bc\"", true),
        ("%\"f%C3%BC\"", false),
        ("%\"%c3\"", false),
        ("%\"%\"", false),
        ("%\"a", false),
        ("%a", false),
        ("a;x=", false),
        ("a;x=(b)", false),
    ] {
        assert_eq!(parsed(&[text]).is_some(), valid, "{text}");
    }
}

#[test]
fn rfc9651_s4_2_2_dictionaries_with_inner_lists() {
    let fields = headers(&[("x-list", "a=(\"x\" y), b;c=1, a=?0")]);
    let members = dictionary(&fields, &FIELD).unwrap();
    // Overwritten in its place.
    assert_eq!(members, [("a".to_owned(), Item::Boolean(false)), ("b".to_owned(), Item::Boolean(true))]);
    let fields = headers(&[("x-list", "a=(\"x\" y)")]);
    assert_eq!(
        dictionary(&fields, &FIELD),
        Some(vec![("a".to_owned(), Item::InnerList(vec![string("x"), token("y")]))])
    );
}

#[test]
fn rfc9651_s3_no_field_is_read_without_end() {
    let many = vec!["a"; 1024].join(",");
    assert_eq!(parsed(&[&many]).unwrap().len(), 1024);
    assert_eq!(parsed(&[&many, "a"]), None);
    let inner = format!("({})", vec!["a"; 1025].join(" "));
    assert_eq!(parsed(&[&inner]), None);
    let parameters: String = (0..1025).map(|number| format!(";a{number}")).collect();
    assert_eq!(parsed(&[&format!("a{parameters}")]), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(words in vec("[ -~]{0,12}", 1..6), numbers in vec(0u64..=999_999_999_999_999, 6)) {
        let mut text = FieldText::new();
        let mut expected = Vec::new();
        for (word, number) in words.iter().zip(&numbers) {
            if !expected.is_empty() {
                text.push(b", ");
            }
            text.push_token_or_string(word);
            text.push(b"; n=");
            text.push_number(*number);
            text.push(b"; s=");
            text.push_string(word);
            let item = if is_token(word) { token(word) } else { string(word) };
            let parameters = vec![
                ("n".to_owned(), Item::Integer(i64::try_from(*number).unwrap())),
                ("s".to_owned(), string(word)),
            ];
            expected.push(Member { item, parameters });
        }
        let value = text.to_value();
        prop_assert_eq!(parsed(&[value.to_str().unwrap()]), Some(expected), "{:?}", value);
    }

    #[test]
    fn lists_read_whatever_comes(text in "([a-z\"\\\\(),; =*:?@%/0-9.-]|\u{e9}){0,24}") {
        // A list that ends in a comma, or in the middle of a string, is none.
        if let Some(members) = parsed(&[&text]) {
            prop_assert!(!members.is_empty() && !text.trim_end().ends_with(','));
            let twice = parsed(&[&text, &text]).unwrap();
            prop_assert_eq!(twice.len(), members.len() * 2);
        }
    }
}
