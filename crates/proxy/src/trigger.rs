//! By which fields of a response its origin asks for ESI, where the rule leaves it to the origin.

use copal_policy::{EsiMode, EsiTriggers, Rule};
use copal_semantics::SurrogateControl;
use http::HeaderMap;

/// `X-Esi: 1`, as other caches have it.
const X_ESI: &str = "x-esi";
/// Akamai's `Edge-Control: dca=esi`.
const EDGE_CONTROL: &str = "edge-control";

/// `Surrogate-Control` alone.
const USUAL: EsiTriggers = EsiTriggers { surrogate_control: true, x_esi: false, edge_control: false };

/// Whether the origin asks for it.
pub(crate) fn asks(triggers: Option<EsiTriggers>, headers: &HeaderMap) -> bool {
    let by = triggers.unwrap_or(USUAL);
    (by.surrogate_control && SurrogateControl::parse(headers).is_some_and(|control| control.wants_esi()))
        || (by.x_esi && headers.get(X_ESI).is_some_and(|value| value.as_bytes().trim_ascii() == b"1"))
        || (by.edge_control && headers.get_all(EDGE_CONTROL).iter().any(|value| wants_esi(value.as_bytes())))
}

/// `dca=esi` among the directives of a line.
fn wants_esi(line: &[u8]) -> bool {
    line.split(|byte| *byte == b',').any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"dca=esi"))
}

/// Removes the fields that a rule reads as a word to Copal.
pub(crate) fn fields_out(headers: &mut HeaderMap, triggers: Option<EsiTriggers>) {
    let Some(by) = triggers else { return };
    if by.x_esi {
        headers.remove(X_ESI);
    }
    if by.edge_control {
        headers.remove(EDGE_CONTROL);
    }
}

/// Rules that hear another word of the origin read a response differently.
pub(crate) fn tell_apart(extras: &mut String, rule: &Rule) {
    let Some(by) = rule.esi_options.triggers.filter(|by| rule.esi == EsiMode::Auto && *by != USUAL) else { return };
    for (heard, word) in
        [(by.surrogate_control, "\nsurrogate-control"), (by.x_esi, "\nx-esi"), (by.edge_control, "\nedge-control")]
    {
        if heard {
            extras.push_str(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_asks_only_where_it_is_heard() {
        let fields = [
            ("surrogate-control", "max-age=60, content=\"ESI/1.0\"", [true, false, false]),
            ("surrogate-control", "max-age=60", [false; 3]),
            ("surrogate-control", "content=\"ESI/1.0\";other", [false; 3]),
            ("surrogate-control", "content=\"ESI/1.0\";copal", [true, false, false]),
            ("x-esi", "1", [false, true, false]),
            ("x-esi", "0", [false; 3]),
            ("edge-control", "max-age=1d, dca=esi", [false, false, true]),
            ("edge-control", "dca=noop", [false; 3]),
        ];
        for (name, value, expected) in fields {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            for (place, asked) in expected.into_iter().enumerate() {
                let by = EsiTriggers { surrogate_control: place == 0, x_esi: place == 1, edge_control: place == 2 };
                assert_eq!(asks(Some(by), &headers), asked, "{name}: {value} by {by:?}");
            }
            assert_eq!(asks(None, &headers), expected[0], "{name}: {value} as usual");
        }
    }
}
