//! Datagrams of HTCP: what is read lies within them, and what is answered is no question itself, or two servers would talk for ever.

#![no_main]

use copal_proxy::purge::htcp::{Asks, Outcome, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(message) = parse(input) else { return };
    if let Asks::Clear { uri, host } = message.asks {
        let within = |text: &str| input.as_ptr_range().contains(&text.as_ptr()) || text.is_empty();
        assert!(!uri.is_empty() && within(uri) && host.is_none_or(within));
    }
    for outcome in [Outcome::Done, Outcome::NotThere, Outcome::NotImplemented] {
        let Some(answer) = message.answer(outcome) else { continue };
        assert!(message.wants_answer);
        assert_eq!(parse(&answer), None, "an answer is taken for a question");
    }
});
