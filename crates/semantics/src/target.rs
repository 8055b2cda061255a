//! The target of a request in its one normal form, and references to other targets (RFC 3986 §5, §6; RFC 9110 §4.2).

use std::net::Ipv6Addr;

use thiserror::Error;

use crate::encoding::{encode_foreign, is_unreserved, normalise_percent};

/// What a request asks for, in normal form: equal targets have equal text (RFC 9110 §4.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Lower-case, with the port unless it is the scheme's default, without a trailing dot.
    pub host: String,
    /// Without dot segments, percent-encodings normal; at least `/`.
    pub path: String,
    /// Percent-encodings normal, order kept. `Some("")` for a bare `?`, which is another target than none.
    pub query: Option<String>,
}

/// Why something is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum TargetError {
    /// There is no host.
    #[error("the host is missing")]
    MissingHost,
    /// The host has a character that no name or address has, or an empty label.
    #[error("the host is not a name or an address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// `user:password@` is refused (RFC 9110 §4.2.4).
    #[error("user information before the host is refused")]
    UserInfo,
    /// The path does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Path,
    /// A byte that may not stand in a target: a control character, a space or `#`.
    #[error("the byte 0x{0:02X} may not stand in a target")]
    Character(u8),
    /// Only `http` and `https` are targets.
    #[error("the scheme is neither http nor https")]
    Scheme,
}

impl Target {
    /// `scheme://host/path?query`.
    pub fn url(&self) -> String {
        let mut url = String::with_capacity(self.scheme.len() + 3 + self.host.len() + self.tail());
        url.push_str(self.scheme);
        url.push_str("://");
        url.push_str(&self.host);
        self.push_path_and_query(&mut url);
        url
    }

    /// `/path?query`: the origin form (RFC 9112 §3.2.1).
    pub fn path_and_query(&self) -> String {
        let mut text = String::with_capacity(self.tail());
        self.push_path_and_query(&mut text);
        text
    }

    fn tail(&self) -> usize {
        self.path.len() + self.query.as_ref().map_or(0, |query| query.len() + 1)
    }

    fn push_path_and_query(&self, text: &mut String) {
        text.push_str(&self.path);
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
    }
}

/// The target of a request, normalised (RFC 3986 §6.2.2, §6.2.3).
///
/// `authority` is the `Host` field or the authority of an absolute form; `path_and_query` is the origin form, empty counts as `/`.
/// Wrong percent-encodings and non-ASCII text stay as they are.
///
/// # Errors
///
/// A [`TargetError`] when the authority or the path is not one; the request deserves a 400.
pub fn normalise(secure: bool, authority: &str, path_and_query: &str) -> Result<Target, TargetError> {
    let host = normalise_host(secure, authority)?;
    let scan = scan(path_and_query)?;
    let (path, query) = match scan.question {
        Some(at) => (&path_and_query[..at], Some(&path_and_query[at + 1..])),
        None => (path_and_query, None),
    };
    if !path.is_empty() && !path.starts_with('/') {
        return Err(TargetError::Path);
    }
    let path = if path.is_empty() {
        String::from("/")
    } else if scan.path_is_normal {
        path.to_owned()
    } else {
        normalise_path(path)
    };
    Ok(Target { scheme: scheme(secure), host, path, query: query.map(normalise_query) })
}

/// Resolves a reference against a base (RFC 3986 §5.2, strict), for ESI includes. The fragment is dropped, whitespace around is
/// trimmed, and characters that no URI may contain are percent-encoded.
///
/// # Errors
///
/// A [`TargetError`] when the reference leads to no http or https target; `http:path` without an authority is none.
pub fn resolve(base: &Target, reference: &str) -> Result<Target, TargetError> {
    let reference = reference.trim_ascii();
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some(control) = reference.bytes().find(u8::is_ascii_control) {
        return Err(TargetError::Character(control));
    }
    let reference = encode_foreign(reference);
    let (secure, rest) = match split_scheme(&reference) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some(_) => return Err(TargetError::Scheme),
        None if reference.starts_with("//") => (base.scheme == "https", &*reference),
        None => return Ok(resolve_relative(base, &reference)),
    };
    let rest = rest.strip_prefix("//").ok_or(TargetError::MissingHost)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    normalise(secure, authority, path_and_query)
}

/// §5.2.2 without scheme and authority.
fn resolve_relative(base: &Target, reference: &str) -> Target {
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(normalise_query(query))),
        None => (reference, None),
    };
    let (path, query) = if path.is_empty() {
        (base.path.clone(), query.or_else(|| base.query.clone()))
    } else if path.starts_with('/') {
        (normalise_path(path), query)
    } else {
        // §5.2.3: the reference takes the place of what follows the base's last slash.
        let folder = base.path.rfind('/').map_or("/", |at| &base.path[..=at]);
        (normalise_path(&format!("{folder}{path}")), query)
    };
    Target { scheme: base.scheme, host: base.host.clone(), path, query }
}

/// `scheme` and what follows its colon, when there is one before any `/` or `?` (§3.1).
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let mut bytes = scheme.bytes();
    let valid = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then_some((scheme, rest))
}

const fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

/// What one look over path and query tells.
struct Scan {
    question: Option<usize>,
    path_is_normal: bool,
}

/// Finds the `?`, refuses what may not be there, and tells whether the path needs no work.
fn scan(path_and_query: &str) -> Result<Scan, TargetError> {
    let mut question = None;
    let mut path_is_normal = true;
    let mut previous = 0;
    for (at, byte) in path_and_query.bytes().enumerate() {
        match byte {
            0..=b' ' | 0x7F | b'#' => return Err(TargetError::Character(byte)),
            b'?' if question.is_none() => question = Some(at),
            b'%' if question.is_none() => path_is_normal = false,
            b'.' if question.is_none() && previous == b'/' => path_is_normal = false,
            _ => {}
        }
        previous = byte;
    }
    Ok(Scan { question, path_is_normal })
}

fn normalise_query(query: &str) -> String {
    normalise_percent(query).into_owned()
}

/// Encodings first: `%2E%2E` is a dot segment for whoever decodes it later.
fn normalise_path(path: &str) -> String {
    let path = normalise_percent(path);
    if path.contains("/.") { remove_dot_segments(&path) } else { path.into_owned() }
}

/// RFC 3986 §5.2.4 for a path that begins with a slash; never above the root.
fn remove_dot_segments(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => kept.truncate(kept.rfind('/').unwrap_or(0)),
            _ => {
                kept.push('/');
                kept.push_str(segment);
                continue;
            }
        }
        if last {
            kept.push('/');
        }
    }
    kept
}

/// RFC 9110 §4.2.3: lower case, no default port; also no trailing dot, IPv6 addresses in their short form (RFC 5952).
fn normalise_host(secure: bool, authority: &str) -> Result<String, TargetError> {
    // Neither a host nor a port has an `@`: it is looked for only where something is wrong.
    host_and_port(secure, authority).map_err(|error| match authority.contains('@') {
        true => TargetError::UserInfo,
        false => error,
    })
}

fn host_and_port(secure: bool, authority: &str) -> Result<String, TargetError> {
    let mut host = String::with_capacity(authority.len());
    let port = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(TargetError::Host)?;
        let address: Ipv6Addr = authority[1..end].parse().map_err(|_| TargetError::Host)?;
        host.push_str(&format!("[{address}]"));
        match &authority[end + 1..] {
            "" => "",
            rest => rest.strip_prefix(':').ok_or(TargetError::Host)?,
        }
    } else {
        // Shorter than what a search for a character is made for.
        let (name, port) = match authority.bytes().position(|byte| byte == b':') {
            Some(at) => (&authority[..at], &authority[at + 1..]),
            None => (authority, ""),
        };
        host.push_str(host_name(name)?);
        host.make_ascii_lowercase();
        port
    };
    if let Some(port) = significant_port(secure, port)? {
        host.push(':');
        host.push_str(port);
    }
    Ok(host)
}

/// A registered name or IPv4 address without its trailing dot. Only unreserved characters: names with others resolve nowhere and
/// only serve to confuse.
fn host_name(name: &str) -> Result<&str, TargetError> {
    if name.is_empty() {
        return Err(TargetError::MissingHost);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut previous = b'.';
    for byte in name.bytes() {
        if !is_unreserved(byte) || (byte == b'.' && previous == b'.') {
            return Err(TargetError::Host);
        }
        previous = byte;
    }
    // Also true of the empty name that "." leaves.
    if previous == b'.' {
        return Err(TargetError::Host);
    }
    Ok(name)
}

/// The port without leading zeros, unless it is empty or the scheme's own (RFC 3986 §6.2.3).
fn significant_port(secure: bool, port: &str) -> Result<Option<&str>, TargetError> {
    if port.is_empty() {
        return Ok(None);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetError::Port);
    }
    let digits = port.trim_start_matches('0');
    match digits.parse::<u16>() {
        Err(_) => Err(TargetError::Port),
        Ok(443) if secure => Ok(None),
        Ok(80) if !secure => Ok(None),
        Ok(_) => Ok(Some(digits)),
    }
}
