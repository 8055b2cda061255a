//! A cache as RFC 9111 describes it, told from outside: which of the responses that the origin ever sent may answer a request
//! now. Slow and simple on purpose, and written from the standard, not from our code; times are milliseconds.

use std::collections::BTreeMap;

use super::date;

/// Statuses that may be stored without a word (RFC 9110 section 15.1).
const BY_DEFAULT: [u16; 12] = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];

/// Header fields, one line each.
pub(super) type Fields = BTreeMap<String, String>;

/// A client's request.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) step: usize,
    pub(super) now: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) fields: Fields,
}

/// The answer to it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: String,
}

/// A response that the origin sent, with the request that it was sent for. A 304 is none; see [`Confirmed`].
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) number: usize,
    pub(super) step: usize,
    pub(super) at: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) asked: Fields,
    pub(super) status: u16,
    pub(super) fields: Fields,
    /// The whole representation, whatever part of it was sent.
    pub(super) text: String,
    /// What a 304 may name it by: its tag, its date.
    pub(super) validators: Vec<String>,
    /// The connection was closed before the content's end.
    pub(super) broken: bool,
}

impl Sent {
    fn is_page(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD") || self.fields.contains_key("content-location")
    }
}

/// A 304: the representation of this validator is current, and these fields are news of it.
#[derive(Clone, Debug)]
pub(super) struct Confirmed {
    pub(super) step: usize,
    pub(super) at: u64,
    /// The fields of the request that it answered.
    pub(super) asked: Fields,
    /// The validator that it was asked by, and all that it has.
    pub(super) by: String,
    pub(super) validators: Vec<String>,
    pub(super) fields: Fields,
    /// It may have been for the client and not for the cache: the client had a condition of its own, or its request passed.
    pub(super) for_client: bool,
}

/// Something that makes what is stored for a path unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalidity {
    /// PURGE: it is gone.
    Gone,
    /// Soft purge: stale from this moment on.
    Stale,
    /// An unsafe method (section 4.4): to be validated before it is used.
    Doubtful,
}

/// What the operator's rule for a path adds to the standard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rule {
    /// A lifetime in place of the origin's, from the arrival.
    pub(super) ttl: Option<u64>,
    /// Stale for this long while it is refreshed or the origin fails.
    pub(super) grace: u64,
    /// Stale for this long when the origin fails.
    pub(super) stale_if_error: u64,
}

/// All that happened to one path.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) rule: Rule,
    pub(super) sent: Vec<Sent>,
    pub(super) confirmed: Vec<Confirmed>,
    pub(super) invalid: Vec<(usize, Invalidity)>,
    /// Steps in which the origin was asked for this path.
    pub(super) asked_in: Vec<usize>,
    /// Steps in which the origin failed to answer a request for this path, or answered 5xx; and when it last did.
    pub(super) failed_in: Vec<usize>,
    pub(super) failed_at: u64,
}

/// After a refresh that failed the origin is left alone for up to half a minute, while stale is served all the same.
const LONGEST_WAIT: u64 = 31_000;

/// How an answer came about, as far as it can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Fetched,
    Fresh,
    Validated,
    StaleWhileRefreshed,
    StaleOnError,
    StaleAsAsked,
    NotModified,
    Part,
    Failed,
    OnlyIfCached,
}

/// Whether this answer to this request is right, and how it came about.
pub(super) fn judge(history: &History, asked: &Asked, got: &Got) -> Result<Way, String> {
    let failed = history.failed_in.last() == Some(&asked.step);
    let number = got.fields.get("x-number").and_then(|number| number.parse().ok());
    match (got.status, number) {
        (304, _) => not_modified(history, asked, got),
        (502 | 504, None) if failed || (says(got, "origin-failed-recently") && failed_of_late(history, asked)) => {
            Ok(Way::Failed)
        }
        (504, None) if directive(asked.fields.get("cache-control"), "only-if-cached").is_some() => {
            Ok(Way::OnlyIfCached)
        }
        (416, None) if asked.fields.contains_key("range") => Ok(Way::Part),
        (_, Some(number)) => {
            let sent = find(history, number).ok_or("it is of another URL")?;
            right_content(sent, asked, got)?;
            let way = if sent.step == asked.step { fetched(sent, asked)? } else { stored(history, sent, asked, got)? };
            Ok(if got.status == 206 { Way::Part } else { way })
        }
        (status, None) => Err(format!("a {status} that no origin sent")),
    }
}

fn find(history: &History, number: usize) -> Option<&Sent> {
    history.sent.binary_search_by_key(&number, |sent| sent.number).ok().map(|at| &history.sent[at])
}

/// The answer to a condition: the client has what may be given to it.
fn not_modified(history: &History, asked: &Asked, got: &Got) -> Result<Way, String> {
    let tag = got.fields.get("etag").ok_or("a 304 without the tag that the client asked with")?;
    if asked.fields.get("if-none-match").map(|named| opaque(named)) != Some(opaque(tag)) {
        return Err(format!("a 304 with {tag}, which the client did not name"));
    }
    let mut why = "the origin never sent this tag".to_owned();
    let has_tag = |sent: &&Sent| sent.is_page() && sent.fields.get("etag").is_some_and(|of| opaque(of) == opaque(tag));
    // The tag stays with a stored response that was freshened by one that does not tell it.
    let text = history.sent.iter().rev().find(has_tag).map(|sent| &sent.text);
    for sent in history.sent.iter().rev().filter(|sent| Some(&sent.text) == text).take(20) {
        match if sent.step == asked.step { fetched(sent, asked) } else { stored(history, sent, asked, got) } {
            Ok(_) => return Ok(Way::NotModified),
            Err(other) => why = other,
        }
    }
    let passed_on = history.confirmed.last().is_some_and(|last| last.step == asked.step);
    if passed_on { Ok(Way::NotModified) } else { Err(why) }
}

/// The bytes are those of one representation, whole or the part that is said.
fn right_content(sent: &Sent, asked: &Asked, got: &Got) -> Result<(), String> {
    let statuses = [sent.status, if sent.status == 200 { 206 } else { sent.status }];
    if !statuses.contains(&got.status) && (sent.status, got.status) != (206, 200) {
        return Err(format!("status {} in place of {}", got.status, sent.status));
    }
    let right = match (asked.method.as_str(), got.status, got.fields.get("content-range")) {
        ("HEAD", ..) => "",
        (_, 206, Some(range)) => {
            let part = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
            let ends = part.and_then(|(ends, _)| ends.split_once('-'));
            let number = |text: &str| text.parse::<usize>().ok();
            ends.and_then(|(first, last)| sent.text.get(number(first)?..=number(last)?)).ok_or("a range of nothing")?
        }
        // Several ranges: the content has a form of its own.
        (_, 206, None) => return Ok(()),
        _ => &sent.text,
    };
    if got.body == right { Ok(()) } else { Err(format!("the content is {:?}, not {right:?}", got.body)) }
}

/// A response that came for this very request.
fn fetched(sent: &Sent, asked: &Asked) -> Result<Way, String> {
    if !nominated_alike(sent, &sent.fields, asked) {
        return Err("it was fetched for other fields than those that were asked with".to_owned());
    }
    Ok(Way::Fetched)
}

/// A response from before this request, by itself or put together with others.
fn stored(history: &History, sent: &Sent, asked: &Asked, got: &Got) -> Result<Way, String> {
    reuse(history, sent, asked, &got.fields).or_else(|wrong| put_together(history, sent, asked, got, wrong))
}

/// Section 4: a response from before this request.
fn reuse(history: &History, sent: &Sent, asked: &Asked, given: &Fields) -> Result<Way, String> {
    let mut wrong = Vec::new();
    for news in readings(history, sent, asked) {
        match reuse_in(&State::of(history, sent, &news), history, sent, asked, given) {
            Ok(way) => return Ok(way),
            Err(why) => wrong.push(why),
        }
    }
    wrong.dedup();
    Err(wrong.join("; or "))
}

/// Section 3.4: parts that were put together are as old as the oldest of them, and as fresh as the one that came last: it was
/// fetched under their strong tag, so that is current.
fn put_together(history: &History, sent: &Sent, asked: &Asked, got: &Got, wrong: String) -> Result<Way, String> {
    let told = got.fields.get("age").and_then(|age| age.parse::<u64>().ok()).unwrap_or_default();
    let earlier = history.sent.iter().rev().filter(|other| other.number < sent.number && other.text == sent.text);
    let mut parts = earlier.filter(|_| sent.status == 206).take(10);
    if !parts.any(|part| (State::as_it_came(part).age(asked.now) / 1000).abs_diff(told) <= 1) {
        return Err(wrong);
    }
    let mut but_age = got.fields.clone();
    but_age.retain(|name, _| name != "age" && name != "x-number");
    reuse(history, sent, asked, &but_age)
}

/// Which 304s were news of a stored response is not always to be seen from outside: one for another variant with the same tag, which
/// is news only of what is stored for that one (section 4.3.4), one that the client had asked for itself, and one that came in the
/// background of this very step, may have been. So there are several readings of what happened: up to one of those, with or without the doubtful ones before it.
fn readings<'h>(history: &'h History, sent: &Sent, asked: &Asked) -> Vec<Vec<&'h Confirmed>> {
    let doubtful = |news: &Confirmed| {
        let others =
            |fields: &Fields| ["x-variant", "x-other"].iter().any(|name| news.asked.get(*name) != fields.get(*name));
        let other_variant = others(&sent.asked) || others(&asked.fields);
        news.for_client || news.step == asked.step || other_variant
    };
    let from = history.confirmed.partition_point(|confirmed| confirmed.step <= sent.step);
    let mut names = sent.validators.clone();
    let mut all = Vec::new();
    for news in &history.confirmed[from..] {
        if names.contains(&news.by) {
            names.extend(news.validators.clone());
            all.push(news);
        }
    }
    let mut readings = Vec::new();
    while let Some(last) = all.pop() {
        let before = all.iter().copied();
        readings.push(before.clone().chain([last]).collect());
        readings.push(before.filter(|news| !doubtful(news)).chain([last]).collect());
        if !doubtful(last) {
            return readings;
        }
    }
    readings.push(Vec::new());
    readings
}

fn reuse_in(state: &State, history: &History, sent: &Sent, asked: &Asked, given: &Fields) -> Result<Way, String> {
    let confirmed_now = state.confirmed_in == Some(asked.step);
    shared(sent, state, asked, confirmed_now)?;
    // A 304 may say that from now on the response is not to be kept; whoever asked gets it all the same.
    storable(sent, if confirmed_now { &sent.fields } else { &state.fields })?;
    if !confirmed_now && !state.nominated_alike(sent, asked) {
        return Err("a nominated field differs (section 4.1)".to_owned());
    }
    if let Some(newer) = newer(history, sent, state, asked) {
        return Err(format!("number {} is newer and fits (section 4)", newer.number));
    }
    let made_stale = valid(history, sent, state)?;
    right_age(state, asked, given)?;
    if confirmed_now {
        return Ok(Way::Validated);
    }
    no_secret_in(state, given)?;
    usable_unvalidated(history, sent, state, made_stale, asked)
}

/// Section 4.2.4 and RFC 5861: fresh, or stale within what was allowed.
fn usable_unvalidated(
    history: &History,
    sent: &Sent,
    state: &State,
    made_stale: bool,
    asked: &Asked,
) -> Result<Way, String> {
    let said = state.fields.get("cache-control");
    if directive(said, "no-cache") == Some("") {
        return Err("no-cache, and it was not validated (section 5.2.2.4)".to_owned());
    }
    let rule = state.ruled(history.rule);
    let lifetime = state.lifetime(rule, sent.status);
    let age = state.age(asked.now);
    // Dates have whole seconds, so a second more or less is nobody's fault.
    let stale_for = age.saturating_sub(lifetime);
    let failed = history.failed_in.last() == Some(&asked.step) || failed_of_late(history, asked);
    if lifetime > age.saturating_sub(1000) {
        match made_stale {
            false => return Ok(Way::Fresh),
            // A soft purge asks for news; when the origin has none, what was fresh without it still is.
            true if failed || asked_in_vain(history, asked) => return Ok(Way::StaleOnError),
            true => {}
        }
    }
    for word in ["must-revalidate", "proxy-revalidate"] {
        if directive(said, word).is_some() {
            return Err(format!("stale for {stale_for} ms in spite of {word}"));
        }
    }
    let of_origin =
        |word| directive(said, word).and_then(|value| value.parse().ok()).map_or(0, |value: u64| value * 1000);
    let of_client = |word| directive(asked.fields.get("cache-control"), word);
    let within = |allowed: u64| stale_for <= allowed + 1000 && allowed > 0;
    let refreshed = history.asked_in.last() == Some(&asked.step) || asked_in_vain(history, asked);
    let client_limit = |word| match of_client(word) {
        Some("") => u64::MAX / 2,
        Some(value) => value.parse().map_or(0, |value: u64| value * 1000),
        None => 0,
    };
    if within(of_origin("stale-while-revalidate").max(rule.grace)) && refreshed {
        return Ok(Way::StaleWhileRefreshed);
    }
    // s-maxage implies proxy-revalidate (section 5.2.2.10), but for what the origin itself or the operator says.
    let implied = directive(said, "s-maxage").is_some();
    let by_rule = rule.grace.max(if implied { 0 } else { rule.stale_if_error });
    if failed && within(of_origin("stale-if-error").max(by_rule)) {
        return Ok(Way::StaleOnError);
    }
    if !implied && failed && within(client_limit("stale-if-error")) {
        return Ok(Way::StaleOnError);
    }
    if !implied && within(client_limit("max-stale")) {
        return Ok(Way::StaleAsAsked);
    }
    Err(format!(
        "stale for {stale_for} ms (age {age}, lifetime {lifetime}, origin failed: {failed}, asked: {refreshed}) by {:?}",
        state.fields
    ))
}

/// Within `failure_ttl` the origin is not asked again for what it failed to give.
fn failed_of_late(history: &History, asked: &Asked) -> bool {
    !history.failed_in.is_empty() && asked.now - history.failed_at < 1000
}

fn says(got: &Got, reason: &str) -> bool {
    got.fields.get("cache-status").is_some_and(|status| status.ends_with(&format!("detail={reason}")))
}

fn asked_in_vain(history: &History, asked: &Asked) -> bool {
    !history.failed_in.is_empty() && asked.now - history.failed_at <= LONGEST_WAIT
}

/// Nobody gets what was made for somebody else: our own rule on cookies, and section 3.5.
fn shared(sent: &Sent, state: &State, asked: &Asked, confirmed_now: bool) -> Result<(), String> {
    if sent.asked.contains_key("cookie") || sent.fields.contains_key("set-cookie") {
        return Err("it was made for one visitor".to_owned());
    }
    if asked.fields.contains_key("cookie") {
        return Err("a visitor with an unknown cookie was served from the store".to_owned());
    }
    let said = state.fields.get("cache-control");
    let leave = ["public", "s-maxage", "must-revalidate"].iter().any(|word| directive(said, word).is_some());
    // Where the origin was asked under this very Authorization, its 304 is the leave.
    let asks_with = asked.fields.contains_key("authorization") && !confirmed_now;
    let fetched_with = state.asked.iter().all(|fields| fields.contains_key("authorization"));
    let authorized = fetched_with || asks_with;
    if authorized && !leave { Err("Authorization, and no leave to share (section 3.5)".to_owned()) } else { Ok(()) }
}

/// Section 3.
fn storable(sent: &Sent, fields: &Fields) -> Result<(), String> {
    if sent.broken {
        return Err("it broke off (section 3.3)".to_owned());
    }
    let said = fields.get("cache-control");
    let explicit =
        ["max-age", "s-maxage"].iter().any(|word| directive(said, word).is_some()) || fields.contains_key("expires");
    let by_default = BY_DEFAULT.contains(&sent.status);
    if directive(said, "no-store").is_some() || directive(said, "private") == Some("") {
        return Err(format!("it may not be stored: {said:?}"));
    }
    if !by_default && !explicit && directive(said, "public").is_none() {
        return Err(format!("a {} is not stored without a word (section 3)", sent.status));
    }
    match sent.method.as_str() {
        "GET" | "HEAD" => Ok(()),
        "POST" if explicit && fields.get("content-location") == Some(&sent.path) => Ok(()),
        method => Err(format!("the answer to a {method}")),
    }
}

/// Section 4.1.
fn nominated_alike(sent: &Sent, fields: &Fields, asked: &Asked) -> bool {
    // What came for this very request fits it, also with `*`.
    let star = fields.get("vary").is_some_and(|vary| vary == "*") && sent.step != asked.step;
    !star && nominated_as(sent, fields, &asked.fields)
}

fn nominated_as(sent: &Sent, fields: &Fields, asked: &Fields) -> bool {
    let vary = fields.get("vary").map_or("", String::as_str);
    vary.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| sent.asked.get(name) == asked.get(name))
}

/// Section 4: of several that fit, the most recent one. One that is still fresh is surely still stored, but where the origin
/// has answered something else in its place since.
fn newer<'h>(history: &'h History, sent: &Sent, state: &State, asked: &Asked) -> Option<&'h Sent> {
    let last_word = state.confirmed_in.unwrap_or(sent.step);
    history.sent.iter().rev().take_while(|other| other.step > last_word).find(|other| {
        let said = other.fields.get("cache-control");
        let special = ["cookie", "authorization", "range"].iter().any(|name| other.asked.contains_key(*name));
        let as_it_came = State::as_it_came(other);
        other.step < asked.step
            && other.method == "GET"
            && other.status < 500
            && other.status != 206
            && !special
            && shared(other, &as_it_came, asked, false).is_ok()
            && storable(other, &other.fields).is_ok()
            && directive(said, "no-cache").is_none()
            && directive(said, "private").is_none()
            && nominated_alike(other, &other.fields, asked)
            && !replaced(history, other)
            && as_it_came.lifetime(as_it_came.ruled(history.rule), other.status) > as_it_came.age(asked.now) + 1000
    })
}

fn replaced(history: &History, sent: &Sent) -> bool {
    let later = history.sent.iter().rev().take_while(|later| later.number > sent.number);
    later.into_iter().any(|later| nominated_as(sent, &sent.fields, &later.asked))
}

/// Section 4.4 and purges. Says whether a soft purge has made it stale.
fn valid(history: &History, sent: &Sent, state: &State) -> Result<bool, String> {
    let mut made_stale = false;
    for (step, what) in history.invalid.iter().rev().take_while(|(step, _)| *step > sent.step) {
        let checked_since = state.confirmed_in.is_some_and(|confirmed| confirmed > *step);
        match what {
            Invalidity::Gone => return Err("it was purged".to_owned()),
            Invalidity::Doubtful if !checked_since => {
                return Err("an unsafe method has made it invalid (section 4.4)".to_owned());
            }
            Invalidity::Stale if !checked_since => made_stale = true,
            Invalidity::Doubtful | Invalidity::Stale => {}
        }
    }
    Ok(made_stale)
}

/// Section 5.1: how old it is, within a second.
fn right_age(state: &State, asked: &Asked, given: &Fields) -> Result<(), String> {
    // A 304 made of a stored response need not have it.
    let Some(age) = given.get("age") else {
        return if given.contains_key("x-number") { Err("no Age on a stored response".to_owned()) } else { Ok(()) };
    };
    let (told, right) = (age.parse::<u64>().map_err(|_| format!("Age: {age}"))?, state.age(asked.now) / 1000);
    if told.abs_diff(right) <= 1 { Ok(()) } else { Err(format!("Age: {told}, and it is {right} s old")) }
}

/// Sections 5.2.2.4 and 5.2.2.7: fields named by `no-cache` or `private` are not given out unvalidated.
fn no_secret_in(state: &State, given: &Fields) -> Result<(), String> {
    let said = state.fields.get("cache-control");
    let named = ["no-cache", "private"].iter().any(|word| directive(said, word) == Some("x-secret"));
    if named && given.contains_key("x-secret") {
        return Err("a field that is named by no-cache or private".to_owned());
    }
    Ok(())
}

/// A stored response with all news of it.
struct State {
    fields: Fields,
    received: u64,
    confirmed_in: Option<usize>,
    /// The requests that it was fetched or confirmed for. A 304 may bring another `Vary`; then it is known to fit each of them.
    asked: Vec<Fields>,
}

impl State {
    fn as_it_came(sent: &Sent) -> Self {
        Self { fields: sent.fields.clone(), received: sent.at, confirmed_in: None, asked: vec![sent.asked.clone()] }
    }

    fn nominated_alike(&self, sent: &Sent, asked: &Asked) -> bool {
        self.asked.iter().any(|of| nominated_alike(&Sent { asked: of.clone(), ..sent.clone() }, &self.fields, asked))
    }

    /// Sections 3.2, 4.3.4 and 4.3.5: the fields of each 304, and of a HEAD's answer, replace those of the same name.
    fn of(history: &History, sent: &Sent, news: &[&Confirmed]) -> Self {
        let mut state = Self::as_it_came(sent);
        if sent.method == "HEAD" {
            let before = history
                .sent
                .iter()
                .rev()
                .find(|other| other.number < sent.number && other.method == "GET" && other.text == sent.text);
            if let Some(before) = before {
                let mut merged = before.fields.clone();
                merged.retain(|name, _| name != "age" && name != "date");
                merged.append(&mut state.fields);
                state.fields = merged;
            }
        }
        for news in news {
            state.fields.remove("age");
            state.fields.remove("date");
            state.fields.extend(news.fields.clone());
            state.received = news.at;
            state.confirmed_in = Some(news.step);
            state.asked.push(news.asked.clone());
        }
        state
    }

    fn number(&self, word: &str) -> Option<u64> {
        Some(directive(self.fields.get("cache-control"), word)?.parse().unwrap_or(0) * 1000)
    }

    fn date(&self) -> u64 {
        self.fields.get("date").map_or(self.received / 1000 * 1000, |date| date::parse(date))
    }

    /// What the rule says of it: of the answer to a request with `Authorization`, nothing, unless it is for everybody.
    fn ruled(&self, rule: Rule) -> Rule {
        let authorized = self.asked.last().is_some_and(|fields| fields.contains_key("authorization"));
        let public = directive(self.fields.get("cache-control"), "public").is_some();
        if authorized && !public { Rule::default() } else { rule }
    }

    /// Section 4.2.1, and 4.2.2 with the tenth that our documentation promises.
    fn lifetime(&self, rule: Rule, status: u16) -> u64 {
        if let Some(ttl) = rule.ttl.filter(|_| BY_DEFAULT.contains(&status)) {
            // It counts from the arrival, and says nothing of statuses that are not to be stored by themselves.
            return ttl + self.initial_age();
        }
        let heuristic = || {
            let modified = date::parse(self.fields.get("last-modified")?);
            Some((self.date().saturating_sub(modified) / 10).min(86_400_000))
        };
        let expires = || Some(date::parse(self.fields.get("expires")?).saturating_sub(self.date()));
        self.number("s-maxage").or_else(|| self.number("max-age")).or_else(expires).or_else(heuristic).unwrap_or(0)
    }

    /// Section 4.2.3, with an exchange that takes no time.
    fn initial_age(&self) -> u64 {
        let apparent = (self.received / 1000 * 1000).saturating_sub(self.date());
        let told = self.fields.get("age").and_then(|age| age.parse().ok()).map_or(0, |age: u64| age * 1000);
        apparent.max(told)
    }

    fn age(&self, now: u64) -> u64 {
        self.initial_age() + (now - self.received)
    }
}

/// An entity tag without its weakness (RFC 9110 section 8.8.3.2).
pub(super) fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

/// The argument of a directive, empty if it has none; of several the first.
fn directive<'f>(field: Option<&'f String>, word: &str) -> Option<&'f str> {
    field?.split(',').map(str::trim).find_map(|one| {
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        (name == word).then_some(value.trim_matches('"'))
    })
}
