use proptest::prelude::*;

use super::*;
use crate::names::NameSet;

fn path_fits(glob: &str, path: &str) -> bool {
    PathGlob::compile(glob).unwrap().iter().any(|glob| glob.matches(path))
}

#[test]
fn name_globs() {
    for (glob, text, fits) in [
        ("SESS*", "SESS", true),
        ("SESS*", "SESS12ab", true),
        ("SESS*", "SSESS1", false),
        ("SESS*", "sess1", false),
        ("_ga", "_ga", true),
        ("_ga", "_ga_X", false),
        ("*_session", "wikidb_session", true),
        ("*_session", "_session2", false),
        ("a*b*c", "abc", true),
        ("a*b*c", "axxbyybzc", true),
        ("a*b*c", "acb", false),
        ("aba*aba", "aba", false),
        ("*", "", true),
        ("*", "anything", true),
        ("**", "x", true),
        ("", "", true),
        ("", "x", false),
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "a", true),
        ("ab*", "a", false),
    ] {
        assert_eq!(NameGlob::new(glob).matches(text), fits, "{glob} {text}");
        assert_eq!(NameSet::new([NameGlob::new("zzz"), NameGlob::new(glob)]).contains(text), fits, "{glob} {text}");
    }
    assert!(NameGlob::ignoring_case("*.Example.ORG").matches("www.eXample.org"));
    assert!(!NameGlob::ignoring_case("*.example.org").matches("example.org"));
}

#[test]
fn path_globs() {
    for (glob, path, fits) in [
        ("/", "/", true),
        ("/", "/a", false),
        ("/admin", "/admin", true),
        ("/admin", "/admin/", false),
        ("/admin/**", "/admin", true),
        ("/admin/**", "/admin/", true),
        ("/admin/**", "/admin/a/b", true),
        ("/admin/**", "/administration", false),
        ("/admin/**", "/x/admin/", false),
        ("/**", "/", true),
        ("**", "/a/b", true),
        ("/a*", "/abc", true),
        ("/a*", "/abc/d", false),
        ("/a**", "/abc/d", true),
        ("/a**", "/b", false),
        ("/*/edit", "/12/edit", true),
        ("/*/edit", "/12/13/edit", false),
        ("/*/edit", "//edit", true),
        ("/*/edit/**", "/12/edit/x/y", true),
        ("/*/edit/**", "/12/edit", true),
        ("/*/edit/**", "/12/edits", false),
        ("/img-*-small.*", "/img-1-small.png", true),
        ("/img-*-small.*", "/img-1-large.png", false),
        ("/**/*.css", "/a.css", true),
        ("/**/*.css", "/a/b/c.css", true),
        ("/**/*.css", "/a.css/b", false),
        ("/**.css", "/a/b.css", true),
        ("**/feed/", "/feed/", true),
        ("/**/feed", "/a/feed", true),
        ("/**/feed", "/afeed", false),
        ("/a/**/z", "/a/z", true),
        ("/a/**/z", "/a/b/c/z", true),
        ("/a/**/z", "/az", false),
        ("/a/**/z/**", "/a/b/z", true),
        ("/a/**/**", "/a/b", true),
        ("/a/**/**", "/a", true),
        ("/**/a/**/**", "/a", true),
        ("/a/**/x*/b", "/a/1/xy/b", true),
        ("/a.{css,js}", "/a.js", true),
        ("/a.{css,js}", "/a.jsx", false),
        ("/{a,b}/{c,d}", "/b/c", true),
        ("/{,en/}news", "/news", true),
        ("/{,en/}news", "/en/news", true),
        ("/a.b", "/axb", false),
        ("/a+(b)", "/a+(b)", true),
        ("~^/[0-9]{4}/", "/2026/x", true),
        ("~^/[0-9]{4}/", "/x/2026/", false),
        ("~ \\.php$", "/a/b.php", true),
        ("/ä*", "/äöü", true),
    ] {
        assert_eq!(path_fits(glob, path), fits, "{glob} {path}");
    }
}

#[test]
fn simple_globs_need_no_regular_expression() {
    let regex = |glob: &str| matches!(PathGlob::compile(glob).unwrap()[0].kind, PathKind::Regex(_));
    for glob in ["/", "/a/**", "/**", "/a**", "/**/*.css", "/**/feed", "/*/x", "/a*b/c/**", "/img-*-*.png"] {
        assert!(!regex(glob), "{glob}");
    }
    for glob in ["/a/**/b", "/**/x/*.css", "~^/"] {
        assert!(regex(glob), "{glob}");
    }
}

#[test]
fn wrong_globs() {
    let error = |glob: &str| PathGlob::compile(glob).unwrap_err();
    assert_eq!(error(""), GlobError::Empty);
    assert_eq!(error("admin"), GlobError::NoSlash);
    assert_eq!(error("*.css"), GlobError::NoSlash);
    assert_eq!(error("/a?b=c"), GlobError::QuestionMark);
    assert_eq!(error("/x/***"), GlobError::Stars);
    assert_eq!(error("/a{b"), GlobError::Brace);
    assert_eq!(error("/a}b"), GlobError::Brace);
    assert_eq!(error("/{a,{b,c}}"), GlobError::Brace);
    assert_eq!(error(&format!("/{}", "{a,b}".repeat(9))), GlobError::TooManyAlternatives);
    assert!(matches!(error("~("), GlobError::Regex(_)));
    assert!(matches!(error("~(?=x)"), GlobError::Regex(_)));
}

/// `*` as any characters, by trying every split.
fn naive_name(glob: &[u8], text: &[u8]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| naive_name(rest, &text[skip..])),
        Some((byte, rest)) => text.split_first().is_some_and(|(first, tail)| first == byte && naive_name(rest, tail)),
    }
}

/// Path globs by definition, segment by segment; `**` only as a whole segment.
fn naive_path(glob: &[&str], path: &[&str]) -> bool {
    match glob.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => {
            let skips = if rest.is_empty() { path.len()..=path.len() } else { 0..=path.len() };
            skips.into_iter().any(|skip| naive_path(rest, &path[skip..]))
        }
        Some((segment, rest)) => path
            .split_first()
            .is_some_and(|(first, tail)| naive_name(segment.as_bytes(), first.as_bytes()) && naive_path(rest, tail)),
    }
}

proptest! {
    #[test]
    fn name_globs_agree_with_a_naive_matcher(glob in "[ab*]{0,8}", text in "[ab]{0,10}") {
        let fits = naive_name(glob.as_bytes(), text.as_bytes());
        prop_assert_eq!(NameGlob::new(&glob).matches(&text), fits);
        prop_assert_eq!(NameSet::new([NameGlob::new(&glob)]).contains(&text), fits);
    }

    #[test]
    fn a_set_holds_what_one_of_its_globs_holds(globs in proptest::collection::vec("[ab*]{0,4}", 0..6), text in "[ab]{0,5}") {
        let globs: Vec<NameGlob> = globs.iter().map(|glob| NameGlob::new(glob)).collect();
        let one = globs.iter().any(|glob| glob.matches(&text));
        prop_assert_eq!(NameSet::new(globs).contains(&text), one);
    }

    #[test]
    fn path_globs_agree_with_a_naive_matcher(
        glob in proptest::collection::vec(prop_oneof![Just("**".to_owned()), "[ab]?\\*?[ab]?\\*?"], 1..5),
        path in proptest::collection::vec("[ab]{0,3}", 1..6),
    ) {
        let glob: Vec<&str> = glob.iter().map(|s| if s.contains("**") { "**" } else { s }).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (text, target) = (format!("/{}", glob.join("/")), format!("/{}", path.join("/")));
        prop_assert_eq!(path_fits(&text, &target), naive_path(&glob, &path), "{} {}", text, target);
    }

    #[test]
    fn every_kind_agrees_with_its_regular_expression(glob in "/[ab*/.]{0,8}", path in "/[ab/.]{0,10}") {
        prop_assume!(!glob.contains("***"));
        let regex = regex_of(&collapse(&glob)).unwrap();
        prop_assert_eq!(path_fits(&glob, &path), regex.is_match(&path), "{} {} {}", glob, path, regex);
    }

    #[test]
    fn overlap_means_that_one_text_fits_both(a in "[ab*]{0,5}", b in "[ab*]{0,5}", text in "[ab]{0,8}") {
        let (one, other) = (NameGlob::new(&a), NameGlob::new(&b));
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
        if one.matches(&text) && other.matches(&text) {
            prop_assert!(one.overlaps(&other));
        }
        let witness = texts(7).any(|text| one.matches(&text) && other.matches(&text));
        if a.len() + b.len() <= 7 {
            prop_assert_eq!(one.overlaps(&other), witness, "{} {}", a, b);
        }
    }

    #[test]
    fn any_pattern_compiles_or_is_refused(glob in any::<String>(), path in any::<String>()) {
        if let Ok(globs) = PathGlob::compile(&glob) {
            let _ = globs.iter().any(|glob| glob.matches(&path));
        }
        let _ = NameGlob::new(&glob).matches(&path);
    }
}

/// All texts over `ab` up to a length.
fn texts(length: u32) -> impl Iterator<Item = String> {
    (0..=length).flat_map(|length| {
        (0..1_u32 << length)
            .map(move |bits| (0..length).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'b' }).collect())
    })
}
