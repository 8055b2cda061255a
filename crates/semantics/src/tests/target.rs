use crate::target::{Target, TargetError, normalise, resolve};

fn url(authority: &str, path_and_query: &str) -> Result<String, TargetError> {
    normalise(false, authority, path_and_query).map(|target| target.url())
}

#[test]
fn rfc3986_s6_2_paths_have_one_form() {
    for (input, expected) in [
        ("", "/"),
        ("/", "/"),
        ("?", "/?"),
        ("?q", "/?q"),
        ("/a/b", "/a/b"),
        ("/a//b/", "/a//b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/..", "/"),
        ("/.", "/"),
        ("/../../../etc", "/etc"),
        ("/a/../../b", "/b"),
        ("/a//..", "/a/"),
        ("//../a", "/a"),
        ("/a/..//b", "//b"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
        ("/a..b/..c/d../.e", "/a..b/..c/d../.e"),
        ("/%2e%2E/a", "/a"),
        ("/a/%2e%2e%2fb", "/a/..%2Fb"),
        ("/a/.%2e/b", "/b"),
        ("/%7Euser/%41%2d", "/~user/A-"),
        ("/a%2fb%3f%23%25", "/a%2Fb%3F%23%25"),
        ("/%c3%a9", "/%C3%A9"),
        ("/\u{e9}", "/\u{e9}"),
        ("/%00%0a", "/%00%0A"),
        ("/a;p=1,2/(x)'!*$&+=:@", "/a;p=1,2/(x)'!*$&+=:@"),
        // Wrong encodings stay as they are, and make no new ones.
        ("/%", "/%"),
        ("/%4", "/%4"),
        ("/%zz%7e", "/%zz~"),
        ("/%2%35", "/%2%35"),
        ("/%%34%31", "/%%341"),
        ("/%%41x", "/%%41x"),
        ("/%%2e", "/%."),
        ("/%\u{e9}%41", "/%\u{e9}A"),
        // The query keeps its order and its dots.
        ("/a?b=2&a=1", "/a?b=2&a=1"),
        ("/a?x=%7e%2f&y=/../z?", "/a?x=~%2F&y=/../z?"),
        ("/a?%zz", "/a?%zz"),
        ("/a/../b?c/../d", "/b?c/../d"),
    ] {
        let expected = format!("http://a{expected}");
        assert_eq!(url("a", input).as_deref(), Ok(&*expected), "{input}");
        assert_eq!(url("a", &expected["http://a".len()..]), Ok(expected));
    }
}

#[test]
fn rfc3986_s3_4_a_bare_question_mark_is_an_empty_query() {
    assert_eq!(normalise(false, "a", "/x?").unwrap().query.as_deref(), Some(""));
    assert_eq!(normalise(false, "a", "/x").unwrap().query, None);
    let target = normalise(true, "a", "/x?y=1").unwrap();
    assert_eq!(target.path_and_query(), "/x?y=1");
    assert_eq!(target.url(), "https://a/x?y=1");
}

#[test]
fn rfc9112_s3_2_control_characters_spaces_and_fragments_are_refused() {
    for (input, byte) in [
        ("/a\0b", 0),
        ("/a\r\nb", 13),
        ("/a b", 32),
        ("/a\tb", 9),
        ("/a\u{7f}", 127),
        ("/a?b\0", 0),
        ("/a?b c", 32),
        ("/a#b", 35),
    ] {
        assert_eq!(url("a", input), Err(TargetError::Character(byte)), "{input:?}");
    }
    for input in ["*", "a", "a/b", "http://a/", ".."] {
        assert_eq!(url("a", input), Err(TargetError::Path), "{input}");
    }
}

#[test]
fn rfc9110_s4_2_3_hosts_have_one_form() {
    for (secure, authority, expected) in [
        (false, "Example.COM", Ok("example.com")),
        (false, "example.com.", Ok("example.com")),
        (false, "example.com.:80", Ok("example.com")),
        (false, "example.com:80", Ok("example.com")),
        (true, "example.com:80", Ok("example.com:80")),
        (true, "example.com:443", Ok("example.com")),
        (false, "example.com:443", Ok("example.com:443")),
        (false, "example.com:", Ok("example.com")),
        (false, "example.com:0080", Ok("example.com")),
        (false, "example.com:08080", Ok("example.com:8080")),
        (false, "my_host-1", Ok("my_host-1")),
        (false, "127.0.0.1:8080", Ok("127.0.0.1:8080")),
        (false, "[::1]", Ok("[::1]")),
        (false, "[::1]:80", Ok("[::1]")),
        (false, "[0:0:0:0:0:0:0:1]:8080", Ok("[::1]:8080")),
        (false, "[2001:DB8::ABCD]", Ok("[2001:db8::abcd]")),
        (false, "[::1]x", Err(TargetError::Host)),
        (false, "[::1", Err(TargetError::Host)),
        (false, "[::g]", Err(TargetError::Host)),
        (false, "[fe80::1%25eth0]", Err(TargetError::Host)),
        (false, "[v1.x]", Err(TargetError::Host)),
        (false, "[]", Err(TargetError::Host)),
        (false, "", Err(TargetError::MissingHost)),
        (false, ":80", Err(TargetError::MissingHost)),
        (false, ".", Err(TargetError::Host)),
        (false, "..", Err(TargetError::Host)),
        (false, "a..", Err(TargetError::Host)),
        (false, "a..b", Err(TargetError::Host)),
        (false, ".a", Err(TargetError::Host)),
        (false, "a b", Err(TargetError::Host)),
        (false, "a/b", Err(TargetError::Host)),
        (false, "a,b", Err(TargetError::Host)),
        (false, "a?b", Err(TargetError::Host)),
        (false, "a#b", Err(TargetError::Host)),
        (false, "a\\b", Err(TargetError::Host)),
        (false, "a%41", Err(TargetError::Host)),
        (false, "a\0", Err(TargetError::Host)),
        (false, "b\u{fc}cher", Err(TargetError::Host)),
        (false, "::1", Err(TargetError::MissingHost)),
        (false, "a:b", Err(TargetError::Port)),
        (false, "a:+80", Err(TargetError::Port)),
        (false, "a:80:80", Err(TargetError::Port)),
        (false, "a:0", Err(TargetError::Port)),
        (false, "a:65536", Err(TargetError::Port)),
        (false, "a:65535", Ok("a:65535")),
        (false, "[::1]:99999999999", Err(TargetError::Port)),
        (false, "user@a", Err(TargetError::UserInfo)),
        (false, "user:pw@a:80", Err(TargetError::UserInfo)),
        (false, "@", Err(TargetError::UserInfo)),
        (false, ":@a", Err(TargetError::UserInfo)),
        (false, "a:80@b", Err(TargetError::UserInfo)),
        (false, "[::1]@b", Err(TargetError::UserInfo)),
        (false, "[::1]:80@b", Err(TargetError::UserInfo)),
        (false, "[a@b]", Err(TargetError::UserInfo)),
    ] {
        let host = normalise(secure, authority, "/").map(|target| target.host);
        assert_eq!(host.as_deref().map_err(|&error| error), expected, "{authority}");
    }
}

/// RFC 3986 §5.4 with its base, as an http URL.
fn base() -> Target {
    normalise(false, "a", "/b/c/d;p?q").unwrap()
}

#[test]
fn rfc3986_s5_4_1_normal_examples() {
    for (reference, expected) in [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q"),
        ("g#s", "http://a/b/c/g"),
        ("g?y#s", "http://a/b/c/g?y"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
    ] {
        let found = resolve(&base(), reference).map(|target| target.url());
        assert_eq!(found.as_deref(), Ok(expected), "{reference}");
    }
    assert_eq!(resolve(&base(), "g:h"), Err(TargetError::Scheme));
}

#[test]
fn rfc3986_s5_4_2_abnormal_examples() {
    for (reference, expected) in [
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g"),
        ("g#s/../x", "http://a/b/c/g"),
    ] {
        let found = resolve(&base(), reference).map(|target| target.url());
        assert_eq!(found.as_deref(), Ok(expected), "{reference}");
    }
    // The strict answer: a scheme without an authority.
    assert_eq!(resolve(&base(), "http:g"), Err(TargetError::MissingHost));
}

#[test]
fn resolve_takes_only_http_and_https_without_user_information() {
    for (reference, expected) in [
        ("HTTPS://Example.com:443/x/../y", Ok("https://example.com/y")),
        ("http://b?x", Ok("http://b/?x")),
        ("http://b#x", Ok("http://b/")),
        ("  /g\n", Ok("http://a/g")),
        ("g:80/x", Err(TargetError::Scheme)),
        ("./g:80/x", Ok("http://a/b/c/g:80/x")),
        ("1:x", Ok("http://a/b/c/1:x")),
        ("?x:y", Ok("http://a/b/c/d;p?x:y")),
        ("file:///etc/passwd", Err(TargetError::Scheme)),
        ("javascript:alert(1)", Err(TargetError::Scheme)),
        ("http:///x", Err(TargetError::MissingHost)),
        ("//", Err(TargetError::MissingHost)),
        ("//u@h/x", Err(TargetError::UserInfo)),
        ("http://a@b/", Err(TargetError::UserInfo)),
        ("http://a\\@b/", Err(TargetError::UserInfo)),
        ("http://a\\b/", Err(TargetError::Host)),
        ("/a\0b", Err(TargetError::Character(0))),
        ("/a\nb", Err(TargetError::Character(10))),
        // What no URI contains is encoded; people write templates.
        ("/a b?c d", Ok("http://a/a%20b?c%20d")),
        ("/\u{e9}?\u{fc}", Ok("http://a/%C3%A9?%C3%BC")),
        ("\\..\\x", Ok("http://a/b/c/%5C..%5Cx")),
        ("/{a}|\"<b>\"^`", Ok("http://a/%7Ba%7D%7C%22%3Cb%3E%22%5E%60")),
        ("%2e%2e/x", Ok("http://a/b/x")),
        ("/x%zz", Ok("http://a/x%zz")),
    ] {
        let found = resolve(&base(), reference).map(|target| target.url());
        let found = found.as_deref().map_err(|&error| error);
        assert_eq!(found, expected, "{reference:?}");
    }
}

#[test]
fn resolve_keeps_the_bases_scheme_and_port() {
    let base = normalise(true, "h:8443", "/x").unwrap();
    assert_eq!(resolve(&base, "y").unwrap().url(), "https://h:8443/y");
    assert_eq!(resolve(&base, "//g:80").unwrap().url(), "https://g:80/");
    assert_eq!(resolve(&base, "//g:443").unwrap().url(), "https://g/");
}
