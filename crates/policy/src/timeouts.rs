//! Reads `timeouts` of a rule or a context: limits of time in place of the origin's.

use std::time::Duration;

use crate::reader::{Reader, Section};
use crate::values;

/// Limits of time of one exchange with an origin; where there is none, the origin's own holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTimeouts {
    /// How long a connection may take to be established.
    pub connect: Option<Duration>,
    /// How long TLS may take on it.
    pub tls: Option<Duration>,
    /// How long the origin may be silent before the response's head.
    pub first_byte: Option<Duration>,
    /// How long it may be silent within the response's body.
    pub between_bytes: Option<Duration>,
    /// How long all of it may take.
    pub total: Option<Duration>,
}

/// Those of a rule or a context; none where it states none.
pub(crate) fn read(reader: &mut Reader, of: &Section<'_>) -> Option<Box<RuleTimeouts>> {
    let section = reader.subsection(of, "timeouts")?;
    let mut limit = |name| reader.value(&section, name, values::timeout);
    let timeouts = RuleTimeouts {
        connect: limit("connect"),
        tls: limit("tls"),
        first_byte: limit("first_byte"),
        between_bytes: limit("between_bytes"),
        total: limit("total"),
    };
    (timeouts != RuleTimeouts::default()).then(|| Box::new(timeouts))
}
