//! A place at a server, for one request.

use std::sync::Arc;

use http::StatusCode;

use super::condition::Event;
use super::load::TooMany;
use super::member::Member;
use super::pick::Probe;
use crate::error::{Fault, Kind};
use crate::server::Server;

/// One request's place at a server: it counts as under way there until this is gone. Whoever has it says how it went with
/// [`answered`](Self::answered) and then [`over`](Self::over) or [`failed`](Self::failed). One that is dropped without a word says
/// nothing about the server: the request was given up.
#[derive(Debug)]
pub(crate) struct Lease {
    member: Arc<Member>,
    probe: Probe,
    /// How it went has been told.
    told: bool,
    /// The place is this one's to give back.
    held: bool,
}

impl Lease {
    /// For a place that is claimed already.
    pub(super) fn new(member: Arc<Member>, probe: Probe) -> Self {
        member.common.begin();
        Self { member, probe, told: false, held: true }
    }

    /// The claim goes back to whoever made it.
    pub(super) fn unclaim(mut self) {
        self.held = false;
        self.member.common.end();
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The server that the request goes to.
    pub(crate) fn server(&self) -> &Arc<Server> {
        self.member.server()
    }

    /// The server's place in the settings.
    pub(crate) fn index(&self) -> usize {
        self.member.index
    }

    /// Whether the request is the trial of a server that is out.
    pub(crate) fn is_trial(&self) -> bool {
        self.probe == Probe::Trial
    }

    /// The head of a final response came. For a server that is out this decides; otherwise a good one has still to be
    /// [`over`](Self::over).
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let counts = match &self.member.common.ejection {
            Some(ejection) => ejection.statuses.contains(&status),
            None => status == StatusCode::BAD_GATEWAY,
        };
        if counts {
            self.tell_failure(status.as_str());
        } else if self.probe != Probe::No {
            self.change(Event::Answered, || format!("it answers again: {}", status.as_str()));
            self.end_trial();
        }
    }

    /// All of the response came.
    pub(crate) fn over(mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.member.load().good(self.member.common.ejection.as_ref());
            if self.member.recovery.good() {
                self.change(Event::Recovered, || "its requests go well".to_owned());
            }
        }
    }

    /// The exchange failed. What is not the server's fault does not count.
    pub(crate) fn failed(mut self, kind: Kind) {
        if kind.fault() == Fault::Origin {
            self.tell_failure(kind.as_str());
        }
    }

    fn tell_failure(&mut self, why: &str) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let ejection = self.member.common.ejection.as_ref();
        let too_many = self.member.load().bad(ejection);
        self.member.recovery.bad();
        match (self.probe, too_many) {
            (Probe::Trial, _) if let Some(ejection) = ejection => {
                self.change(Event::TrialFailed { ejection }, || format!("its trial failed: {why}"));
                self.end_trial();
            }
            // It is failing as it is, and nothing else could become of it.
            (_, Some(_)) if ejection.is_none() && self.member.recovery.is_awaited() => {}
            (_, Some(too_many)) => {
                // Whether it is the last one is found out where nothing can change meanwhile.
                let reason = || match too_many {
                    TooMany::InARow(count) => format!("{count} failures in a row, the last: {why}"),
                    TooMany::Share(failed, all) => format!("{failed} of {all} requests failed, the last: {why}"),
                };
                self.change(Event::Failing { ejection, last: false }, reason);
            }
            (_, None) => {}
        }
    }

    fn change(&self, event: Event<'_>, reason: impl FnOnce() -> String) {
        if let Some(servers) = self.member.servers() {
            servers.change(self.member.index, event, reason);
        }
    }

    fn end_trial(&mut self) {
        if std::mem::replace(&mut self.probe, Probe::No) == Probe::Trial {
            self.member.trial_over();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        self.end_trial();
        let member = &self.member;
        member.common.end();
        if member.common.is_awaited()
            && let Some(servers) = member.servers()
        {
            servers.serve(member.index, true);
        } else {
            member.load().release();
            member.freed();
        }
        for other in member.load().others(member) {
            other.freed();
        }
    }
}
