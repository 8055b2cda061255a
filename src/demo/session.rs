//! The sample site's log-in: a name in a cookie. It protects nothing, as there is nothing to protect.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, header};

/// The cookie; `demo.yaml` names it as a session.
const COOKIE: &str = "demo_session";

/// A name is cut after so many characters.
const LONGEST: usize = 40;

/// The visitor's name; none for a guest.
pub(super) fn visitor(headers: &HeaderMap) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| clean(&decode(value)))
        .filter(|name| !name.is_empty())
}

/// `Set-Cookie` for a visitor of this name.
pub(super) fn begin(name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", encode(&clean(name)))).ok()
}

/// `Set-Cookie` that ends a session.
pub(super) fn end() -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")).ok()
}

/// The value of `name` in a form or a query.
pub(super) fn form_value(form: &str, name: &str) -> Option<String> {
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
}

fn clean(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(LONGEST).collect::<String>().trim().to_owned()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = match (first, others) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match (first, code) {
            (_, Some((high, low))) => bytes.push(high * 16 + low),
            (b'+', None) => bytes.push(b' '),
            (byte, None) => bytes.push(*byte),
        }
        rest = if code.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_cookie() {
        for name in ["ada", "Ada Lovelace", "Zoë; Path=/x", "a%41+b", "<b>", "名前"] {
            let set = begin(name).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let cookie = HeaderValue::try_from(format!("x=1; {pair}")).unwrap();
            let headers = HeaderMap::from_iter([(header::COOKIE, cookie)]);
            assert_eq!(visitor(&headers).as_deref(), Some(name));
        }
    }

    #[test]
    fn nobody_is_a_guest() {
        for cookie in ["", "demo_session=", "other=ada", "demo_session", "demo_session=%0A"] {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))]);
            assert_eq!(visitor(&headers), None, "{cookie:?}");
        }
    }

    #[test]
    fn forms() {
        assert_eq!(form_value("a=1&name=Ada+L%C3%A9on&b=", "name").as_deref(), Some("Ada Léon"));
        assert_eq!(form_value("a=1&name=100%&b=", "name").as_deref(), Some("100%"));
        assert_eq!(form_value("a=1", "name"), None);
    }
}
