//! The simulated origin: a few URLs whose responses change their minds about everything, and the record of what was sent.

use std::collections::BTreeMap;

use copal_testkit::{Answer, ManualClock, Request};

use super::date;
use super::dice::Dice;
use super::model::{Confirmed, Fields, History, Invalidity, Rule, Sent, opaque};

/// The operator's rules, and what the model knows of them.
pub(super) const RULES: &str = "rules:
  - {name: plain, match: {path: '/plain/*', method: [GET, HEAD]}, cache: {}}
  - {name: grace, match: {path: '/grace/*', method: [GET, HEAD]}, cache: {grace: 20s}}
  - {name: ttl, match: {path: '/ttl/*', method: [GET, HEAD]}, cache: {ttl: 15s}}
  - {name: errors, match: {path: '/errors/*', method: [GET, HEAD]}, cache: {stale_if_error: 30s}}
";
const RULE_OF: [(&str, Rule); 4] = [
    ("plain", Rule { ttl: None, grace: 0, stale_if_error: 0 }),
    ("grace", Rule { ttl: None, grace: 20_000, stale_if_error: 0 }),
    ("ttl", Rule { ttl: Some(15_000), grace: 0, stale_if_error: 0 }),
    ("errors", Rule { ttl: None, grace: 0, stale_if_error: 30_000 }),
];
const PAGES: usize = 3;

const CACHE_CONTROL: [&str; 20] = [
    "",
    "max-age=0",
    "max-age=1",
    "max-age=10",
    "max-age=30",
    "max-age=100",
    "s-maxage=20, max-age=5",
    "s-maxage=5, max-age=60",
    "max-age=20, public",
    "max-age=20, must-revalidate",
    "max-age=10, proxy-revalidate",
    "max-age=60, no-cache",
    "no-cache",
    "no-store",
    "private, max-age=60",
    "max-age=60, private=\"x-secret\"",
    "max-age=60, no-cache=\"x-secret\"",
    "max-age=5, stale-while-revalidate=20",
    "max-age=5, stale-if-error=30",
    "s-maxage=5, stale-while-revalidate=10, stale-if-error=20",
];

/// What goes wrong at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    HangsUp,
    BreaksOff,
    Status(u16),
}

const TROUBLES: [Trouble; 4] = [Trouble::HangsUp, Trouble::BreaksOff, Trouble::Status(503), Trouble::Status(500)];

/// How the origin answers for one URL.
#[derive(Clone, Debug)]
struct Behaviour {
    version: usize,
    modified: u64,
    cache_control: &'static str,
    /// Seconds from now.
    expires: Option<i64>,
    tells_modified: bool,
    tag: Option<&'static str>,
    vary: &'static str,
    /// Seconds that `Date` is behind; none: no `Date`.
    date_behind: Option<u64>,
    age: Option<u64>,
    set_cookie: bool,
    status: u16,
    trouble: Trouble,
    ranges: bool,
    unsafe_status: u16,
}

/// All URLs with their histories.
pub(super) struct Site {
    clock: ManualClock,
    pub(super) step: usize,
    /// The client of this step has a condition of its own.
    pub(super) client_has_condition: bool,
    pub(super) histories: BTreeMap<String, History>,
    behaviours: BTreeMap<String, Behaviour>,
    numbers: usize,
}

impl Site {
    pub(super) fn new(clock: ManualClock, dice: &mut Dice) -> Self {
        let mut site = Self {
            clock,
            step: 0,
            client_has_condition: false,
            histories: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            numbers: 0,
        };
        for (name, rule) in RULE_OF {
            for page in 0..PAGES {
                let path = format!("/{name}/{page}");
                site.histories.insert(path.clone(), History { rule, ..History::default() });
                site.change(&path, dice);
            }
        }
        site
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.histories.keys().cloned().collect()
    }

    pub(super) fn now(&self) -> u64 {
        let since = self.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }

    /// Makes what is stored for a path unusable from this step on.
    pub(super) fn invalidate(&mut self, path: &str, what: Invalidity) {
        let step = self.step;
        self.histories.get_mut(path).unwrap().invalid.push((step, what));
    }

    /// The origin behaves in another way from now on; half the time its content changes too.
    pub(super) fn change(&mut self, path: &str, dice: &mut Dice) {
        let status = dice.of(&[200, 200, 200, 200, 200, 404, 301, 302, 203]);
        let vary = dice.of(&["", "", "", "x-variant", "x-variant", "x-variant, x-other", "*"]);
        let before = self.behaviours.get(path);
        let (mut version, mut modified) = before.map_or((0, self.now()), |old| (old.version, old.modified));
        // Whoever asks for a variant gets another content than before where there is only one from now on.
        let kind = |status, vary: &str| (status, vary.contains("x-variant"));
        let as_before = before.is_some_and(|old| kind(old.status, old.vary) == kind(status, vary));
        if dice.one_in(2) || !as_before {
            version += 1;
            modified = (modified + 1000).max(self.now());
        }
        let behaviour = Behaviour {
            version,
            modified,
            cache_control: dice.of(&CACHE_CONTROL),
            expires: dice.one_in(6).then(|| dice.of(&[-10, 0, 5, 40])),
            tells_modified: dice.one_in(3),
            tag: dice.of(&[None, Some(""), Some(""), Some("W/")]),
            vary,
            date_behind: dice.of(&[Some(0), Some(0), Some(0), Some(7), None]),
            age: dice.one_in(5).then(|| dice.of(&[0, 3, 25])),
            set_cookie: dice.one_in(15),
            status,
            trouble: if dice.one_in(4) { dice.of(&TROUBLES) } else { Trouble::None },
            ranges: dice.one_in(2),
            unsafe_status: dice.of(&[200, 204, 303, 404, 500]),
        };
        self.behaviours.insert(path.to_owned(), behaviour);
    }

    /// Answers a request and records what it sends.
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let path = request.target.clone();
        let Some(behaviour) = self.behaviours.get(&path).cloned() else { return Answer::status(404) };
        let (step, now) = (self.step, self.now());
        let history = self.histories.get_mut(&path).unwrap();
        history.asked_in.push(step);
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return self.changed_by(request, &path, behaviour);
        }
        let failing = !matches!(behaviour.trouble, Trouble::None);
        if failing {
            history.failed_in.push(step);
            history.failed_at = now;
        }
        if behaviour.trouble == Trouble::HangsUp {
            return Answer::hang_up();
        }
        let variant = request.header("x-variant").filter(|_| behaviour.vary.contains("x-variant")).unwrap_or("-");
        let mut fields = behaviour.fields(&path, variant, now);
        let mut status = behaviour.status;
        if let Trouble::Status(failure) = behaviour.trouble {
            status = failure;
            fields.retain(|name, _| !matches!(name.as_str(), "etag" | "last-modified"));
        }
        let validators = ["etag", "last-modified"].map(|name| named(&fields, name, variant));
        let current = behaviour.current_by(request, &fields).filter(|_| !failing);
        if let Some(by) = current.and_then(|at| validators[at].clone()) {
            fields.remove("age");
            fields.remove("x-secret");
            let asked = lower(request);
            let passed = asked.contains_key("cookie") || asked.contains_key("authorization");
            let for_client = self.client_has_condition || passed;
            let validators = validators.into_iter().flatten().collect();
            let news = Confirmed { step, at: now, asked, by, validators, fields: fields.clone(), for_client };
            history.confirmed.push(news);
            return with(Answer::status(304), &fields);
        }
        let text = format!("{path} {} {variant} {status} ", behaviour.version).repeat(12);
        let mut sent_text = text.clone();
        if let Some((first, last)) = behaviour.part(request, &fields, status, text.len()) {
            status = 206;
            fields.insert("content-range".to_owned(), format!("bytes {first}-{last}/{}", text.len()));
            text[first..=last].clone_into(&mut sent_text);
        }
        let validators = validators.into_iter().flatten().collect();
        let number = self.record(request, &path, status, &fields, text, validators, behaviour.trouble);
        fields.insert("x-number".to_owned(), number.to_string());
        let answer = with(Answer::status(status).body(sent_text), &fields);
        if behaviour.trouble == Trouble::BreaksOff { answer.cut_after(5).chunked() } else { answer }
    }

    /// An unsafe method: the content changes where it succeeds.
    fn changed_by(&mut self, request: &Request, path: &str, mut behaviour: Behaviour) -> Answer {
        let now = self.now();
        let status = behaviour.unsafe_status;
        if status < 400 {
            self.invalidate(path, Invalidity::Doubtful);
            behaviour.version += 1;
            behaviour.modified = (behaviour.modified + 1000).max(now);
            self.behaviours.insert(path.to_owned(), behaviour.clone());
        }
        let mut fields = behaviour.fields(path, "-", now);
        fields.retain(|name, _| !matches!(name.as_str(), "set-cookie" | "x-secret" | "age"));
        let mut validators = Vec::new();
        if status == 200 && behaviour.status == 200 {
            // What a GET gets now.
            fields.insert("content-location".to_owned(), path.to_owned());
            validators =
                ["etag", "last-modified"].map(|name| named(&fields, name, "-")).into_iter().flatten().collect();
        } else {
            fields.retain(|name, _| !matches!(name.as_str(), "etag" | "last-modified"));
        }
        let text = format!("{path} {} - {status} ", behaviour.version).repeat(12);
        let body = if status == 204 { String::new() } else { text.clone() };
        let number = self.record(request, path, status, &fields, text, validators, Trouble::None);
        fields.insert("x-number".to_owned(), number.to_string());
        with(Answer::status(status).body(body), &fields)
    }

    #[expect(clippy::too_many_arguments, reason = "a record of everything")]
    fn record(
        &mut self,
        request: &Request,
        path: &str,
        status: u16,
        fields: &Fields,
        text: String,
        validators: Vec<String>,
        trouble: Trouble,
    ) -> usize {
        self.numbers += 1;
        let sent = Sent {
            number: self.numbers,
            step: self.step,
            at: self.now(),
            method: request.method.clone(),
            path: path.to_owned(),
            asked: lower(request),
            status,
            fields: fields.clone(),
            text,
            validators,
            broken: trouble == Trouble::BreaksOff && request.method != "HEAD",
        };
        self.histories.get_mut(path).unwrap().sent.push(sent);
        self.numbers
    }
}

impl Behaviour {
    fn fields(&self, path: &str, variant: &str, now: u64) -> Fields {
        let mut fields = Fields::from([("x-secret".to_owned(), "mine".to_owned())]);
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                fields.insert(name.to_owned(), value);
            }
        };
        let later = |seconds: i64| date::format(now.saturating_add_signed(seconds * 1000));
        add("cache-control", Some(self.cache_control.to_owned()));
        add("expires", self.expires.map(later));
        add("last-modified", self.tells_modified.then(|| date::format(self.modified)));
        add("etag", self.tag.map(|weak| format!("{weak}\"{path}.{}.{variant}\"", self.version)));
        add("vary", Some(self.vary.to_owned()));
        add("date", self.date_behind.map(|behind| date::format(now - behind * 1000)));
        add("age", self.age.map(|age| age.to_string()));
        add("set-cookie", self.set_cookie.then(|| format!("id={now}")));
        fields
    }

    /// By which condition the request names what is current: 0 by its tag, 1 by its date.
    fn current_by(&self, request: &Request, fields: &Fields) -> Option<usize> {
        if let Some(tags) = request.header("if-none-match") {
            let tag = fields.get("etag")?;
            return tags.split(',').any(|one| opaque(one) == opaque(tag)).then_some(0);
        }
        let (since, modified) = (request.header("if-modified-since")?, fields.get("last-modified")?);
        (date::parse(modified) <= date::parse(since)).then_some(1)
    }

    /// The part that a single range asks for.
    fn part(&self, request: &Request, fields: &Fields, status: u16, length: usize) -> Option<(usize, usize)> {
        let range = request.header("range")?.strip_prefix("bytes=").filter(|_| self.ranges && status == 200)?;
        if request.header("if-range").is_some_and(|tag| Some(tag) != fields.get("etag").map(String::as_str)) {
            return None;
        }
        let (first, last) = range.split_once('-').filter(|_| !range.contains(','))?;
        let number = |text: &str| text.parse::<usize>().ok();
        let (first, last) = match (number(first), number(last)) {
            (Some(first), Some(last)) => (first, last.min(length - 1)),
            (Some(first), None) => (first, length - 1),
            (None, Some(count)) => (length.checked_sub(count)?, length - 1),
            (None, None) => return None,
        };
        (first <= last).then_some((first, last))
    }
}

/// A validator, told apart by variant: a date is the same for all of them.
fn named(fields: &Fields, name: &str, variant: &str) -> Option<String> {
    Some(format!("{} {variant}", opaque(fields.get(name)?)))
}

fn lower(request: &Request) -> Fields {
    request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn with(answer: Answer, fields: &Fields) -> Answer {
    fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value.clone()))
}
