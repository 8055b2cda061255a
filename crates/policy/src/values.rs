//! One function a kind of value: text in, value or what is wrong with it out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::Networks;
use crate::glob::{GlobError, NameGlob, PathGlob};
use crate::keys::nearest;
use crate::matcher::HostGlob;
use crate::reader::{Read, Wrong};
use crate::units::{UnitError, parse_duration, parse_size};

pub(crate) fn duration(text: &str) -> Read<Duration> {
    parse_duration(text).map_err(|error| unit_error(error, text, "s", &["ms", "s", "m", "h", "d"]))
}

/// A duration that something waits for.
pub(crate) fn timeout(text: &str) -> Read<Duration> {
    match duration(text)? {
        Duration::ZERO => Err(Wrong::because("leaves no time at all")),
        duration => Ok(duration),
    }
}

pub(crate) fn size(text: &str) -> Read<u64> {
    parse_size(text).map_err(|error| unit_error(error, text, "MiB", &["KiB", "MiB", "GiB"]))
}

fn unit_error(error: UnitError, text: &str, usual: &str, units: &[&str]) -> Wrong {
    let number: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text[number.len()..].trim();
    let better = match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        "day" | "days" => Some("d"),
        "k" | "kb" | "kib" => Some("KiB"),
        "m" | "mb" | "mib" => Some("MiB"),
        "g" | "gb" | "gib" => Some("GiB"),
        lower => units.iter().find(|unit| **unit == lower).copied(),
    };
    let better = better.filter(|unit| units.contains(unit));
    let wrong = Wrong::because(error);
    match error {
        UnitError::NoUnit => {
            wrong.hint(format!("write `{number}{usual}` if that is meant; units: {}", units.join(" ")))
        }
        UnitError::Unit => match better {
            Some(unit) => wrong.hint(format!("write `{number}{unit}`")),
            None => wrong.hint(format!("units: {}; one number and one unit", units.join(" "))),
        },
        UnitError::TooLarge => wrong.hint("a smaller number"),
        UnitError::Number => Wrong::PLAIN,
    }
}

pub(crate) fn boolean(text: &str) -> Read<bool> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        "yes" | "on" | "Yes" | "On" => Err(Wrong::PLAIN.hint("write `true`")),
        "no" | "off" | "No" | "Off" => Err(Wrong::PLAIN.hint("write `false`")),
        _ => Err(Wrong::PLAIN),
    }
}

/// One of some words; `words` and `values` go together.
pub(crate) fn word<T: Copy>(words: &[&str], values: &[T]) -> impl Fn(&str) -> Read<T> {
    let pairs: Vec<(String, T)> = words.iter().map(|word| (*word).to_owned()).zip(values.iter().copied()).collect();
    move |text| match pairs.iter().find(|(word, _)| word == text) {
        Some((_, value)) => Ok(*value),
        None => Err(near_miss(text, pairs.iter().map(|(word, _)| word.as_str()))),
    }
}

/// A hint with the word that was meant, if one is near.
pub(crate) fn near_miss<'w>(text: &str, known: impl IntoIterator<Item = &'w str>) -> Wrong {
    match nearest(text, known) {
        Some(word) => Wrong::PLAIN.hint(format!("did you mean `{word}`?")),
        None => Wrong::PLAIN,
    }
}

pub(crate) fn count(least: u64, most: u64) -> impl Fn(&str) -> Read<usize> {
    move |text| match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => usize::try_from(number).map_err(|_| Wrong::PLAIN),
        _ => Err(Wrong::PLAIN),
    }
}

/// `10%`: from 0 to 90.
pub(crate) fn percent(text: &str) -> Read<u8> {
    let Some(number) = text.strip_suffix('%') else {
        let hint = text.parse::<u8>().map(|number| format!("write `{number}%`")).unwrap_or("write `10%`".to_owned());
        return Err(Wrong::because("has no percent sign").hint(hint));
    };
    match number.parse::<u8>() {
        Ok(percent) if percent <= 90 => Ok(percent),
        Ok(_) => Err(Wrong::because("is more than 90%")),
        Err(_) => Err(Wrong::PLAIN),
    }
}

pub(crate) fn text(text: &str) -> Read<String> {
    Ok(text.to_owned())
}

/// Names end up in logs, metric labels and header fields, so they are plain.
pub(crate) fn name(text: &str) -> Read<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        let tidy: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
        let wrong = Wrong::because("is none: letters, digits, `_`, `.` and `-`, at most 64 of them");
        return Err(if tidy.trim_matches('-').is_empty() { wrong } else { wrong.hint(format!("write `{tidy}`")) });
    }
    Ok(text.to_owned())
}

/// Where clients connect.
pub(crate) fn address(text: &str) -> Read<SocketAddr> {
    address_or(text, "0.0.0.0", 8080)
}

/// Where the operator connects: a hint must not lead strangers there.
pub(crate) fn admin_address(text: &str) -> Read<SocketAddr> {
    address_or(text, "127.0.0.1", 8081)
}

/// The hint takes what is missing from `ip` and `port`.
fn address_or(text: &str, ip: &str, port: u16) -> Read<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let quoted = |address: &str| format!("write `\"{address}\"`");
    if text.parse::<IpAddr>().is_ok() {
        let shown = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        return Err(Wrong::because("has no port").hint(quoted(&format!("{shown}:{port}"))));
    }
    let (host, own_port) = text.rsplit_once(':').unwrap_or(("", text));
    match (host, own_port.parse::<u16>()) {
        ("" | "*", Ok(port)) => Err(Wrong::because("has no IP address").hint(quoted(&format!("{ip}:{port}")))),
        ("localhost", Ok(port)) => Err(Wrong::because("has a name").hint(quoted(&format!("127.0.0.1:{port}")))),
        _ => Err(Wrong::PLAIN),
    }
}

/// A server of an origin: scheme, host and port only.
pub(crate) fn server(text: &str) -> Read<Uri> {
    let uri: Uri = text.parse().map_err(|_| Wrong::PLAIN)?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(Wrong::because("is not supported yet: Copal speaks plain HTTP to origins").hint(format!(
                "write `http://...`, through a tunnel if the way is not trusted: `{}`",
                text.replacen("https", "http", 1)
            )));
        }
        Some(_) => return Err(Wrong::because("has another scheme")),
        None => return Err(Wrong::because("has no scheme").hint(format!("write `http://{text}`"))),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.is_empty() || uri.host().is_none_or(str::is_empty) {
        return Err(Wrong::because("has no host"));
    }
    if authority.contains('@') {
        return Err(Wrong::because("has a user name in it")
            .hint(format!("write `http://{}`", authority.rsplit('@').next().unwrap_or_default())));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(Wrong::because("has a path")
            .hint(format!("write `http://{authority}`; paths go to the server as they come")));
    }
    Ok(uri)
}

pub(crate) fn network(text: &str) -> Read<String> {
    // Checked here, added where the set is built.
    let known = Networks::default().add(text);
    let hint = "write `10.0.0.0/8`, `192.168.1.7` or `fd00::/8`; host names are not looked up";
    known.map(|()| text.to_owned()).map_err(|_| Wrong::PLAIN.hint(hint))
}

pub(crate) fn status(text: &str) -> Read<StatusCode> {
    let code = text.parse::<u16>().ok().filter(|code| (200..600).contains(code) && text.len() == 3);
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Wrong::because("is not between 200 and 599"))
}

pub(crate) fn method(text: &str) -> Read<Method> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "QUERY"];
    let upper = text.to_ascii_uppercase();
    if upper != text && known.contains(&upper.as_str()) {
        return Err(Wrong::because("is in lower case, and methods count case").hint(format!("write `{upper}`")));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| Wrong::PLAIN)
}

/// The known method that an unknown one is probably meant to be.
pub(crate) fn misspelt_method(method: &Method) -> Option<&'static str> {
    let text = method.as_str();
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "QUERY", "PROPFIND", "REPORT"];
    let known = known.into_iter().filter(|word| word.len() > 2);
    if known.clone().any(|word| word == text) { None } else { nearest(text, known) }
}

pub(crate) fn header_name(text: &str) -> Read<HeaderName> {
    text.parse().map_err(|_| match text.strip_suffix(':') {
        Some(name) => Wrong::PLAIN.hint(format!("write `{name}`, without the colon")),
        None => Wrong::because("has characters that no field name has"),
    })
}

pub(crate) fn header_value(text: &str) -> Read<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Wrong::because("has characters that no field value has").hint("write it on one line"))
}

/// A glob over a name: a cookie, a parameter.
pub(crate) fn name_glob(text: &str) -> Read<NameGlob> {
    if text.is_empty() {
        return Err(Wrong::because("is empty"));
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return NameGlob::regex(pattern.trim_start()).map_err(|error| {
            Wrong::because(error).hint("after `~` stands a regular expression without look-around and back-references")
        });
    }
    if text.starts_with('^') || text.contains(".*") {
        let glob = text.trim_start_matches('^').trim_end_matches('$').replace(".*", "*");
        return Err(Wrong::because("looks like a regular expression").hint(format!(
            "write `\"{glob}\"`: `*` stands for any characters; or `\"~{text}\"` for a regular expression"
        )));
    }
    if text.contains([';', '=', ' ', ',']) {
        return Err(Wrong::because("has a character that no name has").hint("write the name only; several as a list"));
    }
    Ok(NameGlob::new(text))
}

/// A glob over a value.
pub(crate) fn value_glob(text: &str) -> Read<NameGlob> {
    Ok(NameGlob::new(text))
}

pub(crate) fn host_glob(text: &str) -> Read<HostGlob> {
    if text.is_empty() {
        return Err(Wrong::because("is empty"));
    }
    if let Some((_, rest)) = text.split_once("://") {
        return Err(Wrong::because("has a scheme").hint(format!("write `{}`", rest.trim_end_matches('/'))));
    }
    if text.contains(['/', ' ', '~', '^', '$']) {
        return Err(Wrong::because("has a character that no host has"));
    }
    Ok(HostGlob::new(text))
}

pub(crate) fn path_glob(text: &str) -> Read<Vec<PathGlob>> {
    PathGlob::compile(text).map_err(|error| {
        let wrong = Wrong::because(&error);
        match error {
            GlobError::NoSlash if text.starts_with('^') => {
                wrong.hint(format!("write `\"~{text}\"` for a regular expression"))
            }
            GlobError::NoSlash if text.starts_with('*') => wrong.hint(format!("write `\"/**/{text}\"`")),
            GlobError::NoSlash if text.contains("://") => {
                wrong.hint("the host goes to `host`, only the path stands here")
            }
            GlobError::NoSlash => wrong.hint(format!("write `\"/{text}\"`")),
            GlobError::QuestionMark => wrong.hint("query parameters go to `query`"),
            GlobError::Empty => wrong.hint("`\"/\"` is the front page, `\"/**\"` everything"),
            GlobError::Stars => wrong.hint("`*` is within a part of the path, `/**` everything below"),
            GlobError::Brace => wrong.hint("for example `\"/**/*.{css,js}\"`; braces do not nest"),
            GlobError::TooManyAlternatives => {
                wrong.hint("at most 256; make several rules, or use a regular expression after `~`")
            }
            GlobError::Regex(_) => {
                wrong.hint("after `~` stands a regular expression without look-around and back-references")
            }
        }
    })
}
