//! Which stored response of a key a request selects (RFC 9111 §4.1).

use copal_semantics::Vary;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::response::StoredResponse;

/// What of a request picks the variant: what the rule keys besides the URL, and the fields as the origin would see them.
pub trait Selector {
    /// The keyed cookies and fields of the rule as one text; empty when there are none.
    fn extras(&self) -> &str;
    /// The request field as the origin would see it, normalised (`copal_semantics::normalise_field`, RFC 9111 §4.1).
    fn field(&self, name: &HeaderName) -> String;
    /// Whether the client takes this `Content-Encoding` (RFC 9110 §12.5.3).
    fn accepts(&self, content_encoding: &HeaderValue) -> bool;
    /// The range that the origin is asked for, as text; empty when it is asked for the whole. Fills of different parts are kept apart.
    fn part(&self) -> &str {
        ""
    }
    /// Whether this partial response has all that the request asks for, so that it can answer like a whole one (RFC 9111 §3.3).
    fn takes_part(&self, partial: &StoredResponse) -> bool {
        let _ = partial;
        false
    }
}

/// The secondary key of a response: what a request must share to be answered with it.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    extras: Box<str>,
    vary: Vary,
    /// The fields that `vary` names, as the request had them that brought the response.
    values: Box<[Box<str>]>,
    coding: Option<HeaderValue>,
}

impl Variant {
    pub(crate) fn new(extras: &str, vary: Vary, headers: &HeaderMap, by: &dyn Selector) -> Self {
        let values = vary.names().iter().map(|name| by.field(name).into_boxed_str()).collect();
        Self { extras: extras.into(), vary, values, coding: headers.get(CONTENT_ENCODING).cloned() }
    }

    /// Whether the request selects this response. No allocation without `Vary`.
    pub(crate) fn matches<'a>(&'a self, request: &mut Request<'a>) -> bool {
        same_text(&self.extras, request.by.extras())
            && !self.vary.is_star()
            && (self.values.is_empty() || request.has(&self.vary, &self.values))
            && self.is_readable_by(request.by)
    }

    /// The same requests picked by the fields of another `Vary`; none where it names a field of which nothing is known of them.
    pub(crate) fn narrowed(&self, vary: &Vary) -> Option<Self> {
        let known = |name: &HeaderName| self.vary.names().iter().position(|other| other == name);
        let values: Option<Vec<_>> = vary.names().iter().map(|name| self.values.get(known(name)?).cloned()).collect();
        let values = values.filter(|_| !vary.is_star())?.into();
        Some(Self { extras: self.extras.clone(), vary: vary.clone(), values, coding: self.coding.clone() })
    }

    /// Whether the client takes its coding.
    pub(crate) fn is_readable_by(&self, by: &dyn Selector) -> bool {
        self.coding.as_ref().is_none_or(|coding| by.accepts(coding))
    }

    pub(crate) fn extras(&self) -> &str {
        &self.extras
    }

    pub(crate) fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Whether one of the two replaces the other.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.extras == other.extras && self.vary.names() == other.vary.names() && self.values == other.values
    }

    /// Lengths of the strings in here, each an allocation of its own.
    pub(crate) fn strings(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.extras.len()).chain(self.values.iter().map(|value| value.len()))
    }

    /// How many fields `Vary` names.
    pub(crate) fn fields(&self) -> usize {
        self.values.len()
    }
}

/// A request while it is compared with the variants of one key: its fields are normalised once for each distinct `Vary`
/// that follows another, which is once for all variants as origins usually are.
pub(crate) struct Request<'a> {
    by: &'a dyn Selector,
    fields: Option<(&'a Vary, SmallVec<[String; 2]>)>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(by: &'a dyn Selector) -> Self {
        Self { by, fields: None }
    }

    fn has(&mut self, vary: &'a Vary, values: &[Box<str>]) -> bool {
        let fields = match &mut self.fields {
            Some((of, fields)) if of.names() == vary.names() => fields,
            other => {
                let fields = vary.names().iter().map(|name| self.by.field(name)).collect();
                &mut other.insert((vary, fields)).1
            }
        };
        fields.iter().zip(values).all(|(field, value)| same_text(field, value))
    }
}

/// Equality of texts that are mostly empty. An empty text points nowhere, and the system's `memcmp` was measured to take
/// 150 ns to compare two of these: as long as all the rest of a hit.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}
