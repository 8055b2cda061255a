//! Whether one server gets requests: what happens to it, and what becomes of it. Pure: the time is told.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::link::after;
use crate::settings::Ejection;
use crate::status::ServerState;

/// In how many steps a server works its way up to its share.
const STEPS: u32 = 10;
/// A server that answered for so long is believed at once when it answers after failures.
const CALM: Duration = Duration::from_secs(5 * 60);
/// How often the number of good requests that this takes otherwise is doubled at most.
const DOUBTS: u32 = 10;

/// What is known of a server. Three things keep it out, each on its own: an operator, checks, and failures.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    drained: bool,
    unwell: bool,
    ejected: Option<Absence>,
    /// How often its absence is doubled next time.
    doublings: u32,
    /// When it came back; `None` = it was never away.
    back: Option<Instant>,
    /// Its requests fail, and it is not left out.
    pub(super) failing: Option<Failing>,
    /// When it last answered after it had been failing, and how often it has failed again soon after that.
    answered: Option<Instant>,
    relapses: u32,
    pub(super) ejections: u64,
    /// Why it is in its state, and since when.
    pub(super) reason: String,
    pub(super) since: SystemTime,
}

#[derive(Clone, Copy, Debug)]
struct Absence {
    until: Instant,
    /// From then on any request may be the trial.
    overdue: Instant,
}

/// A server that would be left out, but is the last one, or is not to be left out at all.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) reason: String,
    pub(super) since: SystemTime,
    /// How many requests in a row have to go well until it counts as answering again.
    pub(super) good_wanted: u32,
}

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// Too many requests failed. `last` = no other server could take its requests; without `ejection` none is left out.
    Failing { ejection: Option<&'a Ejection>, last: bool },
    /// As many requests went well as it takes after [`Failing`].
    Recovered,
    /// Its trial failed.
    TrialFailed { ejection: &'a Ejection },
    /// A request went well although it is left out.
    Answered,
    /// The checks say that it is well, or not.
    Checked { well: bool },
    /// An operator takes it out, or back in.
    Drained { out: bool },
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that others could see.
    None,
    /// Another state, or another thing that keeps it out.
    Changed { from: ServerState, to: ServerState },
    /// It would be left out, but nobody could take its place, or nobody is to be left out. Told once.
    Fails { last: bool },
    /// It answers again without having been out.
    Answers,
}

impl Condition {
    pub(super) fn new(since: SystemTime) -> Self {
        Self {
            drained: false,
            unwell: false,
            ejected: None,
            doublings: 0,
            back: None,
            failing: None,
            answered: None,
            relapses: 0,
            ejections: 0,
            reason: "from the start".to_owned(),
            since,
        }
    }

    /// The state; of several reasons to be out the one that an operator should see first.
    pub(super) fn state(&self) -> ServerState {
        if self.drained {
            ServerState::Drained
        } else if self.unwell {
            ServerState::Down
        } else if self.ejected.is_some() {
            ServerState::Ejected
        } else {
            ServerState::Up
        }
    }

    /// How many requests in a row have to go well until it counts as answering again; 0 = it does.
    pub(super) fn good_wanted(&self) -> u32 {
        self.failing.as_ref().map_or(0, |failing| failing.good_wanted)
    }

    /// Remembers why and since when things are as they are after an event.
    pub(super) fn note(&mut self, effect: Effect, reason: &str, at: SystemTime) {
        match (effect, &mut self.failing) {
            (Effect::Fails { .. }, Some(failing)) => (failing.reason, failing.since) = (reason.to_owned(), at),
            (Effect::Fails { .. } | Effect::Answers, _) => {}
            (Effect::None, _) => reason.clone_into(&mut self.reason),
            (Effect::Changed { .. }, _) => (self.reason, self.since) = (reason.to_owned(), at),
        }
    }

    /// Takes in what happened.
    pub(super) fn on(&mut self, event: Event<'_>, now: Instant) -> Effect {
        let from = self.state();
        match event {
            Event::Failing { .. } if from != ServerState::Up => return Effect::None,
            Event::Failing { ejection: Some(ejection), last: false } => self.eject(ejection, now),
            Event::Failing { last, .. } => return self.fails(last, now),
            Event::Recovered => return self.recovered(now),
            // Checks or an operator may have decided meanwhile; the trial says the same.
            Event::TrialFailed { ejection } if self.ejected.is_some() => self.eject(ejection, now),
            Event::TrialFailed { .. } => return Effect::None,
            Event::Answered => self.ejected = None,
            Event::Checked { well } => {
                let was_unwell = std::mem::replace(&mut self.unwell, !well);
                // They have seen it dead and alive: there is nothing left for a trial to find out. Checks that were good all
                // the time do not see what requests see, and have no say.
                if well && was_unwell {
                    self.ejected = None;
                }
            }
            Event::Drained { out } => self.drained = out,
        }
        let to = self.state();
        if to == from {
            return Effect::None;
        }
        if to == ServerState::Up {
            self.back = Some(now);
        }
        self.failing = None;
        Effect::Changed { from, to }
    }

    fn fails(&mut self, last: bool, now: Instant) -> Effect {
        if self.failing.is_some() {
            return Effect::None;
        }
        if self.answered.is_none_or(|answered| now - answered >= CALM) {
            self.relapses = 0;
        }
        // Doubled each time, as absences are: one that fails every other request is not to be told of without end.
        let good_wanted = 1 << self.relapses;
        self.relapses = (self.relapses + 1).min(DOUBTS);
        self.failing = Some(Failing { reason: String::new(), since: self.since, good_wanted });
        Effect::Fails { last }
    }

    fn recovered(&mut self, now: Instant) -> Effect {
        if self.failing.take().is_none() {
            return Effect::None;
        }
        self.answered = Some(now);
        Effect::Answers
    }

    fn eject(&mut self, ejection: &Ejection, now: Instant) {
        // Well for as long as it is left out at most: what was before is forgiven.
        let forgiven = self.ejected.is_none() && self.back.is_none_or(|back| now - back >= ejection.longest);
        if forgiven {
            self.doublings = 0;
        }
        let factor = 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        let length = ejection.base.saturating_mul(factor).min(ejection.longest);
        if length < ejection.longest {
            self.doublings += 1;
        }
        let until = after(now, length);
        self.ejected = Some(Absence { until, overdue: after(until, ejection.base) });
        self.ejections += 1;
    }

    /// Whether its time out is over and a request may be tried on it; and whether that may be any request.
    pub(super) fn trial(&self, now: Instant) -> Option<bool> {
        let absence = self.ejected.filter(|absence| absence.until <= now && self.state() == ServerState::Ejected)?;
        Some(absence.overdue <= now)
    }

    /// Its share at present, in percent of the full one.
    pub(super) fn share(&self, now: Instant, slow_start: Duration) -> u8 {
        let Some(back) = self.back.filter(|_| !slow_start.is_zero()) else { return 100 };
        let steps = (now - back).as_nanos().saturating_mul(u128::from(STEPS)) / slow_start.as_nanos().max(1);
        // The first step is a share of one step already: with none it would never be seen to work.
        let percent = (steps + 1).min(u128::from(STEPS)) * 100 / u128::from(STEPS);
        u8::try_from(percent).unwrap_or(100)
    }

    /// When it is to be looked at again although nothing happens: a trial is due, or more of its share.
    pub(super) fn next(&self, now: Instant, slow_start: Duration) -> Option<Instant> {
        match self.state() {
            ServerState::Ejected => {
                let absence = self.ejected?;
                [absence.until, absence.overdue].into_iter().find(|at| *at > now)
            }
            ServerState::Up if self.share(now, slow_start) < 100 => Some(after(now, slow_start / (2 * STEPS))),
            _ => None,
        }
    }

    /// As it is taken over by new settings, which may know of no checks, or of other ones, and of no ejection.
    pub(super) fn adopted(&self, checks: bool, ejection: bool) -> Self {
        let mut adopted = self.clone();
        adopted.unwell &= checks;
        adopted.ejected = adopted.ejected.filter(|_| ejection);
        if adopted.state() != self.state() {
            "the settings changed".clone_into(&mut adopted.reason);
        }
        adopted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ServerState::{Down, Drained, Ejected, Up};

    const SECOND: Duration = Duration::from_secs(1);

    fn ejection() -> Ejection {
        Ejection {
            failures: 5,
            rate: 0,
            window: 10 * SECOND,
            base: 10 * SECOND,
            longest: 60 * SECOND,
            statuses: Vec::new(),
        }
    }

    fn server() -> Condition {
        Condition::new(SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_thing_that_keeps_a_server_out_does_so_on_its_own() {
        let (now, ejection) = (Instant::now(), ejection());
        let changed = |from, to| Effect::Changed { from, to };
        let failing = Event::Failing { ejection: Some(&ejection), last: false };
        let (well, unwell) = (Event::Checked { well: true }, Event::Checked { well: false });
        let (drain, resume) = (Event::Drained { out: true }, Event::Drained { out: false });
        let mut server = server();
        for (event, effect, state) in [
            (resume, Effect::None, Up),
            (well, Effect::None, Up),
            (failing, changed(Up, Ejected), Ejected),
            (failing, Effect::None, Ejected),
            (unwell, changed(Ejected, Down), Down),
            (unwell, Effect::None, Down),
            (drain, changed(Down, Drained), Drained),
            (resume, changed(Drained, Down), Down),
            // Checks that found it down and then well have seen both: that ends its absence too, in one step.
            (well, changed(Down, Up), Up),
            (failing, changed(Up, Ejected), Ejected),
            // Checks that found nothing wrong have nothing to say about failed requests.
            (well, Effect::None, Ejected),
            (drain, changed(Ejected, Drained), Drained),
            (unwell, Effect::None, Drained),
            (well, Effect::None, Drained),
            (resume, changed(Drained, Up), Up),
            (failing, changed(Up, Ejected), Ejected),
            (Event::Answered, changed(Ejected, Up), Up),
            (Event::TrialFailed { ejection: &ejection }, Effect::None, Up),
            (drain, changed(Up, Drained), Drained),
            (failing, Effect::None, Drained),
            (resume, changed(Drained, Up), Up),
        ] {
            assert_eq!((server.on(event, now), server.state()), (effect, state), "{event:?}");
        }
        assert_eq!(server.ejections, 3);
    }

    #[test]
    fn the_last_one_is_spared_and_that_is_told_once() {
        let (now, ejection) = (Instant::now(), ejection());
        let mut server = server();
        let last = Event::Failing { ejection: Some(&ejection), last: true };
        assert_eq!(server.on(last, now), Effect::Fails { last: true });
        assert_eq!(server.on(last, now), Effect::None);
        // As soon as another one is there, it goes.
        let failing = Event::Failing { ejection: Some(&ejection), last: false };
        assert_eq!(server.on(failing, now), Effect::Changed { from: Up, to: Ejected });
        server.on(Event::Answered, now);
        assert_eq!(server.on(last, now), Effect::Fails { last: true });
    }

    #[test]
    fn one_that_is_never_left_out_is_told_of_too_and_believed_later_each_time() {
        let mut now = Instant::now();
        let mut server = server();
        let failing = Event::Failing { ejection: None, last: false };
        let mut wanted = Vec::new();
        for pause in [0, 1, 1, 299, 300, 1] {
            now += pause * SECOND;
            assert_eq!(server.on(Event::Recovered, now), Effect::None);
            assert_eq!(server.on(failing, now), Effect::Fails { last: false });
            assert_eq!((server.on(failing, now), server.state()), (Effect::None, Up));
            wanted.push(server.failing.as_ref().unwrap().good_wanted);
            assert_eq!(server.on(Event::Recovered, now), Effect::Answers);
        }
        assert_eq!(wanted, [1, 2, 4, 8, 1, 2]);
    }

    #[test]
    fn absences_double_up_to_the_longest_and_are_forgiven() {
        let ejection = ejection();
        let mut now = Instant::now();
        let mut server = server();
        let mut absences = Vec::new();
        let mut out = |server: &mut Condition, now: &mut Instant, event| {
            let began = *now;
            server.on(event, *now);
            while server.trial(*now).is_none() {
                *now = server.next(*now, Duration::ZERO).unwrap();
            }
            absences.push((*now - began).as_secs());
        };
        let failing = Event::Failing { ejection: Some(&ejection), last: false };
        out(&mut server, &mut now, failing);
        for _ in 0..3 {
            out(&mut server, &mut now, Event::TrialFailed { ejection: &ejection });
        }
        server.on(Event::Answered, now);
        now += 59 * SECOND;
        out(&mut server, &mut now, failing);
        server.on(Event::Answered, now);
        now += 60 * SECOND;
        out(&mut server, &mut now, failing);
        assert_eq!(absences, [10, 20, 40, 60, 60, 10]);
    }

    #[test]
    fn one_that_checks_brought_back_before_its_time_is_out_for_longer_when_it_fails_again() {
        let (now, ejection) = (Instant::now(), ejection());
        let mut server = server();
        let failing = Event::Failing { ejection: Some(&ejection), last: false };
        for (absence, later) in [(10, 0), (20, 1), (40, 59)] {
            let now = now + later * SECOND;
            server.on(failing, now);
            assert_eq!(server.next(now, Duration::ZERO), Some(now + absence * SECOND));
            server.on(Event::Checked { well: false }, now);
            server.on(Event::Checked { well: true }, now);
            assert_eq!(server.state(), Up);
        }
    }

    #[test]
    fn a_trial_is_for_any_request_only_after_a_while() {
        let (start, ejection) = (Instant::now(), ejection());
        let mut server = server();
        server.on(Event::Failing { ejection: Some(&ejection), last: false }, start);
        for (second, trial) in [(0, None), (9, None), (10, Some(false)), (19, Some(false)), (20, Some(true))] {
            assert_eq!(server.trial(start + second * SECOND), trial, "{second}");
        }
        server.on(Event::Checked { well: false }, start);
        assert_eq!(server.trial(start + 30 * SECOND), None);
    }

    #[test]
    fn who_comes_back_works_its_way_up_and_who_was_never_away_has_no_need_to() {
        let start = Instant::now();
        let slow = 20 * SECOND;
        let mut server = server();
        assert_eq!((server.share(start, slow), server.next(start, slow)), (100, None));
        server.on(Event::Drained { out: true }, start);
        server.on(Event::Drained { out: false }, start);
        for (second, share) in [(0, 10), (1, 10), (2, 20), (10, 60), (17, 90), (18, 100), (99, 100)] {
            let now = start + second * SECOND;
            assert_eq!(server.share(now, slow), share, "{second}");
            assert_eq!(server.next(now, slow).is_some(), share < 100, "{second}");
            assert_eq!(server.share(now, Duration::ZERO), 100);
        }
    }

    #[test]
    fn settings_without_these_checks_or_ejection_keep_nobody_out_for_them() {
        let (now, ejection) = (Instant::now(), ejection());
        let mut server = server();
        server.on(Event::Failing { ejection: Some(&ejection), last: false }, now);
        server.on(Event::Checked { well: false }, now);
        assert_eq!(server.adopted(true, true).state(), Down);
        assert_eq!(server.adopted(false, true).state(), Ejected);
        assert_eq!(server.adopted(false, false).state(), Up);
        server.on(Event::Drained { out: true }, now);
        assert_eq!(server.adopted(false, false).state(), Drained);
    }
}
