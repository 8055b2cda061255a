//! What happens to the servers of an origin, and what is known of them.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::condition::{Condition, Effect, Event};
use super::pick::{Fact, Left, Picked, Table};
use super::{Member, Servers, Wants};
use crate::clock;
use crate::status::{Failing, OriginStatus, ServerState, ServerStatus};

impl Servers {
    /// Takes in what happened to a server, and tells it where its state changes.
    pub(super) fn change(&self, index: usize, event: Event<'_>, reason: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut conditions = self.conditions();
        let takes = |(other, condition): (usize, &Condition)| {
            let weighs = self.members.get(other).is_some_and(|member| member.settings.weight > 0);
            other != index && weighs && condition.state() == ServerState::Up
        };
        let event = match event {
            Event::Failing { ejection, .. } => {
                Event::Failing { ejection, last: !conditions.iter().enumerate().any(takes) }
            }
            event => event,
        };
        let (Some(condition), Some(member)) = (conditions.get_mut(index), self.members.get(index)) else { return };
        let effect = condition.on(event, now);
        // A failed trial changes no state, but when there is another one.
        if effect == Effect::None && !matches!(event, Event::TrialFailed { .. }) {
            return;
        }
        let reason = reason();
        condition.note(effect, &reason, clock::now());
        if let Effect::Changed { .. } = effect {
            member.load().forgive();
        }
        member.recovery.expect(condition.good_wanted());
        let changed = self.tabulate(&conditions, now);
        drop(conditions);
        self.tell(member, effect, &reason);
        self.tell_left(changed);
        self.again(|_| true);
    }

    /// Takes an operator's word on all servers of this name, or with this URL; false when there is none.
    pub(crate) fn drain(&self, name: &str, out: bool) -> bool {
        let mut known = false;
        for member in self.members.iter().filter(|member| member.is_called(name)) {
            known = true;
            let reason = if out { "taken out by hand" } else { "taken back in by hand" };
            self.change(member.index, Event::Drained { out }, || reason.to_owned());
        }
        known
    }

    /// Goes on from what `before` knows of the servers that are here too. Only before the first request.
    pub(crate) fn adopt(&self, before: &Self) {
        if std::ptr::eq(self, before) {
            return;
        }
        let old = before.conditions().clone();
        let mut taken = vec![false; old.len()];
        let mut from = vec![None; self.members.len()];
        for (member, from) in self.members.iter().zip(&mut from) {
            let is_same = |it: &&Arc<Member>| {
                !taken.get(it.index).copied().unwrap_or(true) && it.settings.address == member.settings.address
            };
            *from = before.members.iter().find(is_same).map(|same| same.index);
            if let Some(taken) = from.and_then(|index| taken.get_mut(index)) {
                *taken = true;
            }
        }
        let now = Instant::now();
        let mut conditions = self.conditions();
        for (member, from) in self.members.iter().zip(&from) {
            let Some(index) = *from else { continue };
            let (Some(same), Some(old)) = (before.members.get(index), old.get(index)) else { continue };
            if let Some(condition) = conditions.get_mut(member.index) {
                *condition = old.adopted(member.is_checked_like(same), member.common.ejection.is_some());
                member.recovery.expect(condition.good_wanted());
            }
            member.adopt(same);
        }
        self.sticky.adopt(&before.sticky, |old| from.iter().position(|from| *from == Some(old)));
        self.adopt_refused(before);
        let changed = self.tabulate(&conditions, now);
        drop(conditions);
        self.tell_left(changed);
    }

    /// What is known of the servers.
    pub(crate) fn status(&self) -> OriginStatus {
        let now = Instant::now();
        let conditions = self.conditions();
        let status = |(member, condition): (&Arc<Member>, &Condition)| {
            let (requests, failures) = member.load().totals();
            ServerStatus {
                name: member.settings.address.name(),
                state: condition.state(),
                reason: condition.reason.clone(),
                since: condition.since,
                failing: condition.failing.as_ref().map(|it| Failing { reason: it.reason.clone(), since: it.since }),
                weight: member.settings.weight,
                ramp: condition.share(now, self.slow_start),
                backup: member.settings.backup,
                active: member.load().active(),
                max_connections: member.settings.max_connections,
                idle: member.server().idle(),
                requests,
                failures,
                ejections: condition.ejections,
                check: member.last_check(),
                addresses: member.server().addresses(),
            }
        };
        let servers = self.members.iter().zip(conditions.iter()).map(status).collect();
        OriginStatus {
            servers,
            waiting: self.common.queue.waiting(),
            refused: self.refused(),
            ..OriginStatus::default()
        }
    }

    /// Makes the table anew where something is due: a trial, or more of a share. Whoever comes while that is done goes on
    /// with the old one.
    pub(super) fn catch_up(&self, now: Instant) {
        if let Ok(conditions) = self.conditions.try_lock()
            && self.table.load().next.is_some_and(|next| next <= now)
        {
            self.tabulate(&conditions, now);
        }
    }

    /// The table for these conditions. Says who is left, where that is another than before.
    fn tabulate(&self, conditions: &[Condition], now: Instant) -> Option<Left> {
        let fact = |(member, condition): (&Arc<Member>, &Condition)| Fact {
            weight: member.settings.weight,
            backup: member.settings.backup,
            state: condition.state(),
            trial: condition.trial(now),
            share: condition.share(now, self.slow_start),
        };
        let facts: Vec<Fact> = self.members.iter().zip(conditions).map(fact).collect();
        let next = conditions.iter().filter_map(|condition| condition.next(now, self.slow_start)).min();
        let table = Table::new(&facts, self.balance, self.circle.as_ref(), next);
        let left = table.left();
        let before = self.table.swap(Arc::new(table));
        (before.left() != left).then_some(left)
    }

    fn tell(&self, member: &Member, effect: Effect, reason: &str) {
        let (origin, server) = (&*self.name, &**member.server().authority());
        match effect {
            Effect::None => {}
            Effect::Changed { from, to: ServerState::Up } => {
                tracing::info!(origin, server, from = from.as_str(), to = "up", reason, "server is back");
            }
            Effect::Changed { from, to } => {
                tracing::warn!(origin, server, from = from.as_str(), to = to.as_str(), reason, "server is out");
            }
            Effect::Fails { last } => {
                let fallback = self.fallback.as_deref();
                let why = if last { "no other could take its requests" } else { "`eject: false` keeps it in" };
                tracing::warn!(origin, server, reason, fallback, "server fails, but {why}");
            }
            Effect::Answers => tracing::info!(origin, server, reason, "server answers again"),
        }
    }

    fn tell_left(&self, changed: Option<Left>) {
        let origin = &*self.name;
        match changed {
            Some(Left::Out) => tracing::warn!(origin, "no server is up: requests go to all that are not drained"),
            Some(Left::Nobody) => {
                tracing::warn!(origin, "every server is drained: requests get 503 until one is resumed");
            }
            Some(Left::Up) => tracing::info!(origin, "a server is up again"),
            None => {}
        }
    }

    /// Those of `whom` who wait look anew: other servers may take them now, or those that would have may not.
    pub(super) fn again(&self, whom: impl Fn(&Wants) -> bool) {
        if self.common.queue.waiting() == 0 {
            return;
        }
        // Dropped after the lock is: a lease at its end looks at the line.
        let mut unwanted = Vec::new();
        let mut line = self.common.queue.lock();
        for number in line.numbers() {
            let waiter = line.get(number).filter(|it| whom(&it.wants));
            let Some((only, picked)) = waiter.map(|it| (it.only, self.pick_now(&it.wants.wanted()))) else {
                continue;
            };
            if picked == (Picked::Full { only }) {
                continue;
            }
            let waiter = line.remove(number);
            if let (Some(lease), Some(waiter)) = (self.lease(picked), waiter)
                && let Err(lease) = waiter.place.send(lease)
            {
                unwanted.push(lease);
            }
        }
        self.common.queue.left(&line);
        drop(line);
    }

    fn conditions(&self) -> MutexGuard<'_, Vec<Condition>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
