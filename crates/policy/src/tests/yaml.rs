use proptest::prelude::*;

use super::*;

/// The tree as text: scalars with `@line:column`, for comparing.
fn show(node: &Node) -> String {
    let at = format!("@{}:{}", node.at.line, node.at.column);
    match &node.value {
        Value::Null => format!("null{at}"),
        Value::Scalar(text) => format!("{text:?}{at}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let pairs =
                entries.iter().map(|e| format!("{}@{}:{}={}", e.key, e.key_at.line, e.key_at.column, show(&e.node)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}

fn tree(text: &str) -> String {
    let (root, problems) = parse(text);
    assert!(problems.is_empty(), "{problems:?}");
    root.map_or_else(|| "nothing".to_owned(), |node| show(&node))
}

fn problems(text: &str) -> Vec<(u32, u32, String)> {
    parse(text).1.into_iter().map(|p| (p.at.line, p.at.column, p.message)).collect()
}

#[test]
fn every_node_knows_its_place() {
    for (text, expected) in [
        ("", "nothing"),
        ("# only a comment\n", "nothing"),
        ("a: 1\nb: [x, 'y z']\n", r#"{a@1:1="1"@1:4 b@2:1=["x"@2:5 "y z"@2:8]}"#),
        ("a:\n  - b: 2\n", r#"{a@1:1=[{b@2:5="2"@2:8}]}"#),
        ("a: {b: 007, c: 1.20}", r#"{a@1:1={b@1:5="007"@1:8 c@1:13="1.20"@1:16}}"#),
        ("a:\nb: ~\nc: '~'\n", r#"{a@1:1=null@1:2 b@2:1=null@2:4 c@3:1="~"@3:4}"#),
        ("ä: ö # c\nx: y", r#"{ä@1:1="ö"@1:4 x@2:1="y"@2:4}"#),
        ("a: 1\r\nb: 2\r\n", r#"{a@1:1="1"@1:4 b@2:1="2"@2:4}"#),
        ("\u{feff}a: 1", r#"{a@1:1="1"@1:4}"#),
        ("404: 10s", r#"{404@1:1="10s"@1:6}"#),
        ("a: |\n  x\n  y\n", r#"{a@1:1="x\ny\n"@2:3}"#),
    ] {
        assert_eq!(tree(text), expected, "{text:?}");
    }
}

#[test]
fn aliases_and_merge_keys() {
    assert_eq!(tree("a: &x 1\nb: *x"), r#"{a@1:1="1"@1:7 b@2:1="1"@1:7}"#);
    let merged = tree("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n");
    assert_eq!(merged, r#"{a@1:1={p@1:8="1"@1:11 q@1:14="2"@1:17} b@2:1={q@4:3="3"@4:6 p@1:8="1"@1:11}}"#);
    assert_eq!(problems("<<: 5"), [(1, 5, "`<<` takes a mapping".to_owned())]);
}

#[test]
fn repeated_keys_are_all_reported() {
    let found = problems("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n");
    let expected = [(2, 11, "key `c` stands twice"), (3, 1, "key `a` stands twice"), (4, 1, "key `a` stands twice")];
    assert_eq!(found, expected.map(|(l, c, m)| (l, c, m.to_owned())));
}

#[test]
fn an_alias_cannot_blow_the_file_up() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
    }
    assert_eq!(problems(&text).last().map(|p| p.2.as_str()), Some("aliases make this file too large"));
    assert_eq!(problems("a: &a [*a]").last().map(|p| p.2.as_str()), Some("this alias stands within what it names"));
}

#[test]
fn what_is_no_configuration_is_refused() {
    assert_eq!(problems("a: 1\n---\nb: 2\n"), [(2, 1, "a second document begins here".to_owned())]);
    assert_eq!(problems(&"[".repeat(40)).len(), 1);
    assert_eq!(problems("a: !env HOME"), [(1, 9, "the tag `!env` means nothing here".to_owned())]);
    assert_eq!(problems("? [a, b]\n: c"), [(1, 3, "a key must be a word".to_owned())]);
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: 'x\n", 2), ("a:\n\tb: 1\n", 2), ("a: b: c\n", 1), ("a: *b\n", 1)]
    {
        let (root, found) = parse(text);
        assert!(root.is_none(), "{text:?}");
        assert_eq!(found.len(), 1, "{text:?}");
        assert!(found[0].message.starts_with("this is not YAML: "), "{}", found[0].message);
        assert!(found[0].at.line.abs_diff(line) <= 1, "{text:?}: {:?}", found[0]);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn anything_like_yaml_is_read_without_panic(text in "[ab&*!<:\\-\\[\\]{}|>'\"#?,\n\t @%]{0,60}") {
        let (root, problems) = parse(&text);
        if let Some(root) = root {
            let _ = show(&root);
        }
        for problem in problems {
            prop_assert!(!problem.message.is_empty());
        }
    }
}
