//! Which stored response of a key a request selects (RFC 9111 §4.1).

use copal_semantics::{Vary, coding_preference, language_preferred, single_language};
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
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
    /// The request's own fields, where a response that was stored for another `Accept-Encoding` or `Accept-Language` may answer it, as far
    /// as the client takes what is stored (RFC 9111 §4.1). None: only equal fields select, and only
    /// what [`Selector::accepts`] takes.
    fn negotiates(&self) -> Option<&HeaderMap> {
        None
    }
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
    /// Whether every request with equal `values` takes the coding, so that it need not be asked.
    coding_agreed: bool,
    /// The language of the content, where `vary` names `Accept-Language` and the response is in one.
    language: Option<Box<str>>,
}

impl Variant {
    pub(crate) fn new(extras: &str, vary: Vary, headers: &HeaderMap, by: &dyn Selector) -> Self {
        let values = vary.names().iter().map(|name| by.field(name).into_boxed_str()).collect();
        Self::of(extras.into(), vary, values, headers)
    }

    fn of(extras: Box<str>, vary: Vary, values: Box<[Box<str>]>, headers: &HeaderMap) -> Self {
        let coding = coding(headers);
        let language = if vary.names().contains(&ACCEPT_LANGUAGE) { single_language(headers) } else { None };
        Self {
            coding_agreed: is_agreed(coding.as_ref(), &vary, &values),
            coding,
            language: language.map(String::into_boxed_str),
            extras,
            vary,
            values,
        }
    }

    /// The same requests, picked by the fields of another `Vary` for a response with these fields; none where it names a field of
    /// which nothing is known of them.
    pub(crate) fn narrowed(&self, vary: &Vary, headers: &HeaderMap) -> Option<Self> {
        let known = |name: &HeaderName| self.vary.names().iter().position(|other| other == name);
        let values: Option<Vec<_>> = vary.names().iter().map(|name| self.values.get(known(name)?).cloned()).collect();
        let values = values.filter(|_| !vary.is_star())?;
        Some(Self::of(self.extras.clone(), vary.clone(), values.into(), headers))
    }

    /// Whether the request selects this response. No allocation without `Vary`.
    pub(crate) fn matches<'a>(&'a self, request: &mut Request<'a>) -> bool {
        same_text(&self.extras, request.by.extras())
            && !self.vary.is_star()
            && (self.values.is_empty() || request.has(&self.vary, &self.values))
            && (self.coding.is_none()
                || (self.coding_agreed && request.by.negotiates().is_some())
                || self.is_accepted(request.by))
    }

    /// How much the client wants this response although it was stored for other fields, in thousandths: it differs from the request only in
    /// `Accept-Encoding`, and the client takes its coding; or in `Accept-Language`, and it is in the language that the client wants most
    /// (RFC 9111 §4.1). `None`: it may not be used.
    pub(crate) fn preference<'a>(&'a self, headers: &HeaderMap, request: &mut Request<'a>) -> Option<u16> {
        if self.values.is_empty() || self.vary.is_star() || !same_text(&self.extras, request.by.extras()) {
            return None;
        }
        let mut preference = 1000;
        let fields = request.fields(&self.vary).iter().zip(&self.values);
        for (name, (field, value)) in self.vary.names().iter().zip(fields) {
            if same_text(field, value) {
                continue;
            }
            if *name == ACCEPT_ENCODING {
                preference = coding_preference(self.coding.as_ref(), headers)?;
            } else if *name != ACCEPT_LANGUAGE || !language_preferred(self.language.as_deref()?, headers) {
                return None;
            }
        }
        self.is_accepted(request.by).then_some(preference)
    }

    fn is_accepted(&self, by: &dyn Selector) -> bool {
        self.coding.as_ref().is_none_or(|coding| by.accepts(coding))
    }

    /// Whether the client takes its coding by name, so that it can be given what was stored for another.
    pub(crate) fn is_readable_by(&self, by: &dyn Selector) -> bool {
        let named = |headers| coding_preference(self.coding.as_ref(), headers).is_some();
        self.coding.is_none() || (self.is_accepted(by) && by.negotiates().is_none_or(named))
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
        let language = self.language.iter().map(|language| language.len());
        std::iter::once(self.extras.len()).chain(self.values.iter().map(|value| value.len())).chain(language)
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
        self.fields(vary).iter().zip(values).all(|(field, value)| same_text(field, value))
    }

    fn fields(&mut self, vary: &'a Vary) -> &[String] {
        let known = self.fields.as_ref().is_some_and(|(of, _)| of.names() == vary.names());
        if !known {
            self.fields = Some((vary, vary.names().iter().map(|name| self.by.field(name)).collect()));
        }
        self.fields.as_ref().map_or(&[], |(_, fields)| fields)
    }
}

/// Whether there is no coding, or it is among those that the normalised `Accept-Encoding` in `values` lists, or is none that
/// is negotiated: an origin that applies one of its own making gives it to everybody.
fn is_agreed(coding: Option<&HeaderValue>, vary: &Vary, values: &[Box<str>]) -> bool {
    let Some(coding) = coding else {
        return true;
    };
    let mut fields = vary.names().iter().zip(values);
    let negotiated = copal_semantics::is_negotiated(coding);
    fields.any(|(name, listed)| {
        *name == ACCEPT_ENCODING
            && (!negotiated
                || listed.split(", ").any(|listed| listed.as_bytes().eq_ignore_ascii_case(coding.as_bytes())))
    })
}

/// All `Content-Encoding` lines as one.
fn coding(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    let first = lines.next()?;
    let rest: Vec<_> = lines.map(HeaderValue::as_bytes).collect();
    if rest.is_empty() {
        return Some(first.clone());
    }
    HeaderValue::from_bytes(&[&[first.as_bytes()], rest.as_slice()].concat().join(&b", "[..])).ok()
}

/// Equality of texts that are mostly empty. An empty text points nowhere, and the system's `memcmp` was measured to take
/// 150 ns to compare two of these: as long as all the rest of a hit.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}
