//! Pure tables; the story itself is shown by the scenarios over real sockets.

mod decisions;
mod storing;

/// A GET of a client.
pub(crate) fn exchange(url: &str) -> crate::exchange::Exchange {
    let anywhere = copal_semantics::normalise(false, "localhost", "/").unwrap();
    let target = copal_semantics::resolve(&anywhere, url).unwrap();
    crate::explain::exchange(&http::Method::GET, target, &http::HeaderMap::new())
}
