//! One function a kind of value: text in, value or what is wrong with it out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::glob::{GlobError, NameGlob, PathGlob};
use crate::keys::nearest;
use crate::matcher::HostGlob;
use crate::reader::{Read, Wrong};
use crate::units::{UnitError, Whole, fraction_end, parse_duration, parse_size, whole_duration, whole_size};
use crate::{Networks, ServerUrl};

pub(crate) fn duration(text: &str) -> Read<Duration> {
    parse_duration(text).map_err(|error| unit_error(error, text, "s", &["ms", "s", "m", "h", "d"], whole_duration))
}

/// A duration that something waits for.
pub(crate) fn timeout(text: &str) -> Read<Duration> {
    match duration(text)? {
        Duration::ZERO => Err(Wrong::because("leaves no time at all")),
        duration => Ok(duration),
    }
}

pub(crate) fn size(text: &str) -> Read<u64> {
    parse_size(text).map_err(|error| unit_error(error, text, "MiB", &["KiB", "MiB", "GiB"], whole_size))
}

/// `whole` makes whole numbers of fractions.
fn unit_error(
    error: UnitError,
    text: &str,
    usual: &str,
    units: &[&str],
    whole: fn(&str, &str) -> Option<Whole>,
) -> Wrong {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits.max(fraction_end(text)));
    let unit = unit.trim();
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
        UnitError::Fraction => match whole(number, better.unwrap_or(if unit.is_empty() { usual } else { unit })) {
            Some(Whole::Exactly(whole)) => wrong.hint(format!("write `{whole}`: numbers are whole")),
            Some(Whole::Nearly(near)) => {
                wrong.hint(format!("write `{near}`, the nearest: the smallest unit is `1{}`", smallest(units)))
            }
            Some(Whole::Nothing) => {
                wrong.hint(format!("write `1{}` or more: there is no smaller unit", smallest(units)))
            }
            None => wrong.hint(format!("one whole number and one unit: {}", units.join(" "))),
        },
        UnitError::TooLarge => wrong.hint("a smaller number"),
        UnitError::Number => Wrong::PLAIN,
    }
}

/// Sizes can be written in bytes, though nobody is told to.
fn smallest<'u>(units: &[&'u str]) -> &'u str {
    units.iter().find(|unit| **unit == "ms").unwrap_or(&"B")
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

/// `10%`.
pub(crate) fn percent<T: TryFrom<u16>>(least: u16, most: u16) -> impl Fn(&str) -> Read<T> {
    move |text| {
        let within = |number: &u16| (least..=most).contains(number);
        let Some(number) = text.strip_suffix('%') else {
            let number = if fraction_end(text) == text.len() { hundredths(text) } else { text.parse::<u16>().ok() };
            let wrong = Wrong::because("has no percent sign");
            return Err(match number {
                Some(number) if number > most => {
                    wrong.hint(format!("a share from {least}% to {most}%: write `{most}%` or less"))
                }
                number => wrong.hint(format!("write `{}%`", number.filter(within).unwrap_or(least.max(10)))),
            });
        };
        if !number.is_empty() && fraction_end(number) == number.len() {
            let whole = number.split(['.', ',']).next().and_then(|whole| whole.parse::<u16>().ok());
            let wrong = Wrong::because("has a fraction");
            return Err(match whole {
                // Nothing is another thing than little.
                Some(0) => wrong.hint(format!("a whole number of percent, at least `{}%`", least.max(1))),
                whole => wrong.hint(format!("write `{}%`", whole.filter(within).unwrap_or(least.max(10)))),
            });
        }
        match number.parse::<u16>() {
            Ok(percent) if (least..=most).contains(&percent) => T::try_from(percent).map_err(|_| Wrong::PLAIN),
            Ok(percent) if percent < least => Err(Wrong::because(format!("is less than {least}%"))),
            Ok(_) => Err(Wrong::because(format!("is more than {most}%"))),
            Err(_) => Err(Wrong::PLAIN),
        }
    }
}

/// `0.5` as somebody writes a share who is used to parts of one: 50.
fn hundredths(text: &str) -> Option<u16> {
    let (integer, places) = text.split_once(['.', ','])?;
    let hundreds = if integer.is_empty() { 0 } else { integer.parse::<u16>().ok()? };
    let places: String = places.chars().chain("00".chars()).take(2).collect();
    hundreds.checked_mul(100)?.checked_add(places.parse::<u16>().ok()?)
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
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        && let Some(reason) = wrong_port(own_port)
    {
        return Err(Wrong::because(reason).hint(quoted(&format!("{host}:{port}"))));
    }
    match (host, own_port.parse::<u16>()) {
        ("" | "*", Ok(port)) => Err(Wrong::because("has no IP address").hint(quoted(&format!("{ip}:{port}")))),
        ("localhost", Ok(port)) => Err(Wrong::because("has a name").hint(quoted(&format!("127.0.0.1:{port}")))),
        _ => Err(Wrong::PLAIN),
    }
}

/// Longer does not fit into a socket's address.
const LONGEST_SOCKET: usize = 107;

/// A server of an origin: scheme, host and port only, or a socket's path.
pub(crate) fn server(text: &str) -> Read<ServerUrl> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    let forms = "write `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`";
    let uri: Uri = text.parse().map_err(|_| Wrong::PLAIN.hint(forms))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) => return Err(Wrong::because("has another scheme").hint(forms)),
        None if text.starts_with('/') => {
            return Err(Wrong::because("has no scheme").hint(format!("write `unix:{text}`")));
        }
        None => return Err(Wrong::because("has no scheme").hint(format!("write `http://{text}`"))),
    };
    let scheme = if secure { "https" } else { "http" };
    let authority = uri.authority().filter(|_| uri.host().is_some_and(|host| !host.is_empty()));
    let Some(authority) = authority else { return Err(Wrong::because("has no host")) };
    if let Some((_, host)) = authority.as_str().rsplit_once('@') {
        return Err(Wrong::because("has a user name in it").hint(format!("write `{scheme}://{host}`")));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(Wrong::because("has a path")
            .hint(format!("write `{scheme}://{authority}`; paths go to the server as they come")));
    }
    let behind =
        authority.as_str().strip_prefix(uri.host().unwrap_or_default()).and_then(|rest| rest.strip_prefix(':'));
    if let Some(reason) = behind.and_then(wrong_port) {
        return Err(Wrong::because(reason).hint("from 1 to 65535"));
    }
    Ok(if secure { ServerUrl::Https(authority.clone()) } else { ServerUrl::Http(authority.clone()) })
}

/// What is wrong with what stands behind the colon of a host.
fn wrong_port(text: &str) -> Option<&'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(0) => Some("has a port that is none"),
        Ok(_) => None,
        Err(_) if text.is_empty() => Some("has no port behind its colon"),
        Err(_) if is_number => Some("has a port that is too large"),
        Err(_) => Some("has a port that is no number"),
    }
}

/// What stands after `unix:`.
fn socket(path: &str) -> Read<ServerUrl> {
    if path.len() > LONGEST_SOCKET {
        let hint = format!("the path of a socket has at most {LONGEST_SOCKET} bytes");
        return Err(Wrong::because("is too long").hint(hint));
    }
    match path.trim_start_matches('/') {
        "" => Err(Wrong::because("names no socket").hint("for example `unix:/run/site.sock`")),
        rest if path.len() != rest.len() + 1 => {
            Err(Wrong::because("has no path that begins with one slash").hint(format!("write `unix:/{rest}`")))
        }
        _ => Ok(ServerUrl::Unix(path.into())),
    }
}

/// A request-target that is asked for.
pub(crate) fn target(text: &str) -> Read<String> {
    if !text.starts_with('/') {
        let hint = match text.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
            Some((host, path)) => format!("write `/{path}`; the host goes to `host`: `{host}`"),
            None => format!("write `/{text}`"),
        };
        return Err(Wrong::because("does not begin with a slash").hint(hint));
    }
    match text.parse::<PathAndQuery>() {
        Ok(_) if !text.contains('#') => Ok(text.to_owned()),
        _ => Err(Wrong::because("has characters that no path has").hint("write them as `%20` and the like")),
    }
}

/// `Host`.
pub(crate) fn host(text: &str) -> Read<String> {
    match text.parse::<Authority>() {
        Ok(authority) if !authority.as_str().contains('@') => Ok(text.to_owned()),
        _ => Err(Wrong::because("is no host").hint("write `www.example.org`, with a port if it needs one")),
    }
}

/// A cookie by its whole name (RFC 6265 §4.1.1).
pub(crate) fn cookie_name(text: &str) -> Read<String> {
    if text.contains('*') {
        return Err(Wrong::because("has a `*`").hint("the whole name stands here, no glob"));
    }
    // A cookie's name is a token, as a field's is.
    match text.parse::<HeaderName>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::because("is no name of a cookie").hint("for example `PHPSESSID`")),
    }
}

/// The same, or its beginning with a `*` behind it: names such as `SESS0123456789abcdef`.
pub(crate) fn cookie_prefix(text: &str) -> Read<String> {
    match text.strip_suffix('*') {
        Some("") => Err(Wrong::because("is every cookie").hint("name the cookie of the session")),
        Some(beginning) if !beginning.contains('*') => cookie_name(beginning).map(|_| text.to_owned()),
        Some(_) => Err(Wrong::because("has more than one `*`").hint("only one, at the end: `SESS*`")),
        None if text.contains('*') => Err(Wrong::because("has a `*` before its end").hint("only at the end: `SESS*`")),
        None => cookie_name(text),
    }
}

/// A name server.
pub(crate) fn name_server(text: &str) -> Read<SocketAddr> {
    let address = text.parse().ok().or_else(|| {
        let ip = text.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
        Some(SocketAddr::new(ip, 53))
    });
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        Wrong::PLAIN
            .hint("write `10.0.0.2`, `\"10.0.0.2:5353\"` or `\"[fd00::2]:53\"`; a name cannot be looked up there")
    })
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

/// `200`, `200-399` or `2xx`: the least and the most.
pub(crate) fn status_range(text: &str) -> Read<(u16, u16)> {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| text.len() == 3 && (100..600).contains(code));
    if let Some(class) = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok()) {
        return match class {
            1..=5 => Ok((class * 100, class * 100 + 99)),
            _ => Err(Wrong::because("is no class from `1xx` to `5xx`")),
        };
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => Err(Wrong::because("is upside down").hint(format!("write `{last}-{first}`"))),
        _ => Err(Wrong::because("is not between 100 and 599")),
    }
}

/// The statuses of `502`, `500-504` or `5xx`, where all of them tell of a failure: no other makes sense as one.
pub(crate) fn failures(text: &str) -> Read<Vec<StatusCode>> {
    match status_range(text)? {
        (first, last) if first >= 400 => {
            Ok((first..=last).filter_map(|code| StatusCode::from_u16(code).ok()).collect())
        }
        _ => Err(Wrong::because("is no status of an error").hint("from 400 to 599: `[502, 503, 504]`, or `5xx`")),
    }
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
