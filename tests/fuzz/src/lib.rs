//! Fuzz input as field lines.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Each line of `input` as a field value, under the names in turn: the first line under the first name, and again from the first name
/// when they are used up. What is no field value (RFC 9110 §5.5) is left out, and so is an empty line.
#[must_use]
pub fn fields(input: &[u8], names: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (line, name) in input.split(|byte| *byte == b'\n').zip(names.iter().cycle()) {
        if let Ok(value) = HeaderValue::from_bytes(line)
            && !line.is_empty()
        {
            headers.append(name.clone(), value);
        }
    }
    headers
}

/// `input` up to its first line break, and what follows that.
#[must_use]
pub fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}
