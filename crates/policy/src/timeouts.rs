//! Reads `timeouts` of a rule or a context: limits of time in place of the origin's.

use std::time::Duration;

use crate::diagnostic::At;
use crate::reader::{Reader, Section};
use crate::units::format_duration;
use crate::{TimeoutConfig, values};

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

/// Tells of a rule's limit that the origin's limit for all of it comes before.
pub(crate) fn doubt(reader: &mut Reader, of: &Section<'_>, own: Option<&RuleTimeouts>, origin: &TimeoutConfig) {
    let Some((own, first_byte)) = own.and_then(|own| Some((own, own.first_byte?))) else { return };
    let whole = match (own.total, origin.total) {
        (Some(total), _) => ("`total`", total),
        (None, Some(total)) => ("the origin's `total`", total),
        (None, None) => return,
    };
    let at = reader.part(of, "timeouts").at_of("first_byte");
    never(reader, at, ("`first_byte`", first_byte), whole);
}

/// A limit for the first byte that is longer than that for all of it; each with what it is called.
pub(crate) fn never(reader: &mut Reader, at: At, first_byte: (&str, Duration), whole: (&str, Duration)) {
    if first_byte.1 <= whole.1 {
        return;
    }
    let shown = |(name, limit): (&str, Duration)| format!("{name} ({})", format_duration(limit));
    let message = format!("{} is longer than {}, so it never ends a request", shown(first_byte), shown(whole));
    reader.warning(at, message, "make the first one shorter, or the second one longer");
}
