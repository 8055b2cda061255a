//! What a request would purge, without doing it and whoever asks.

use copal_policy::Config;

use crate::exchange::Exchange;
use crate::purge::dialect::{self, Call, Recognised};
use crate::purge::order::What;
use crate::purge::read;
use crate::purge::wishes::Wishes;

/// A purge as the audit log would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) dialect: &'static str,
    /// What goes or becomes stale, in words.
    pub(crate) words: String,
}

/// The purge that a request is, by whoever may; none where it is no purge. Bodies are not looked at.
///
/// # Errors
/// It is in no dialect that is spoken here, or names nothing.
pub(crate) fn preview(config: &Config, exchange: &Exchange) -> Result<Option<Preview>, String> {
    let purge = &config.purge;
    let (dialect, form) = match dialect::recognise(Call::of(exchange), purge.dialects) {
        Recognised::Purge(dialect, form) => (dialect, form),
        Recognised::Unknown => {
            return Err(format!("{} is in none of the dialects of `purge.dialects`", exchange.method));
        }
        Recognised::Anew | Recognised::Other => return Ok(None),
    };
    let wishes = Wishes::of(&exchange.headers).map_err(|wrong| wrong.to_string())?;
    let reading = read::read(Call::of(exchange), (dialect, form), purge, &wishes, &[]);
    let reading = reading.map_err(|wrong| wrong.to_string())?;
    let list = |softly: &str, what: &[What]| {
        (!what.is_empty())
            .then(|| softly.to_owned() + &what.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    let words: Vec<String> = [list("", &reading.hard), list("soft ", &reading.soft)].into_iter().flatten().collect();
    Ok(Some(Preview { dialect: dialect.as_str(), words: words.join("; ") }))
}
