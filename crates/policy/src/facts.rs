//! What the rules may look at.

use http::{HeaderMap, Method};

use crate::Cookies;

/// The facts of one request, all borrowed. `host`, `path` and `query` are the normalised ones (RFC 3986 section 6), so
/// that a rule cannot be gone around by writing a path in another way.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The request method.
    pub method: &'a Method,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'a str,
    /// The host with its port if that is not the scheme's default.
    pub host: &'a str,
    /// The path, beginning with `/`.
    pub path: &'a str,
    /// The query without `?`.
    pub query: Option<&'a str>,
    /// All request fields.
    pub headers: &'a HeaderMap,
    /// The request's cookies, parsed from `headers`.
    pub cookies: &'a Cookies<'a>,
}

/// The parameters of a query (`application/x-www-form-urlencoded` split at `&`, nothing decoded) as (name, value, whole
/// parameter). A parameter without `=` has an empty value.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) => (name, value, parameter),
        None => (parameter, "", parameter),
    })
}
