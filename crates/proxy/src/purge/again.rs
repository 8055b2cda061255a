//! The second purge: some time after the first, for what an origin answered from data that had not caught up yet.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::proxy::Proxy;
use crate::purge::order::Order;

/// Orders that wait; what comes beyond is done once only.
const WAITING: usize = 10_000;

/// Bytes that their words may take.
const WORDS: usize = 16 << 20;

/// The longest wait.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_600);

/// The orders that wait. An order that comes while an equal one waits does not wait by itself, and does not put the other
/// one off.
#[derive(Default)]
pub(crate) struct Again(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By their words; with when it is to be done after that, where an equal one came meanwhile.
    orders: HashMap<String, Option<Instant>>,
    /// Of all words.
    bytes: usize,
}

impl Waiting {
    fn has_room(&self, words: &str) -> bool {
        self.orders.len() < WAITING && self.bytes + words.len() <= WORDS
    }

    /// The order is about to be done; when it is to be done after that, if ever.
    fn taken(&mut self, words: &str) -> Option<Instant> {
        let then = self.orders.get_mut(words).and_then(Option::take);
        if then.is_none() && self.orders.remove(words).is_some() {
            self.bytes -= words.len();
        }
        then
    }
}

/// Has the order done once more; `false` when too many wait already.
pub(super) fn later(proxy: &Arc<Proxy>, order: &Order, after: Duration) -> bool {
    let due = Instant::now() + after.min(LONGEST);
    let words = words(order);
    {
        let mut waiting = proxy.again.0.lock();
        if let Some(then) = waiting.orders.get_mut(&words) {
            *then = Some(due);
            return true;
        }
        if !waiting.has_room(&words) {
            drop(waiting);
            tracing::warn!("a purge is not done again: too many wait already (repurge_after)");
            return false;
        }
        waiting.bytes += words.len();
        waiting.orders.insert(words.clone(), None);
    }
    let order = Order { repurge_after: None, ..order.clone() };
    tokio::spawn(repeat(Arc::downgrade(proxy), order, words, due));
    true
}

async fn repeat(proxy: Weak<Proxy>, order: Order, words: String, mut due: Instant) {
    loop {
        tokio::time::sleep_until(due).await;
        let Some(proxy) = proxy.upgrade() else { return };
        // Noted before it is done: an order that comes meanwhile is not lost.
        let then = proxy.again.0.lock().taken(&words);
        proxy.purge(&order);
        match then {
            Some(then) => due = then,
            None => return,
        }
    }
}

/// Equal orders have equal words, whoever asks.
fn words(order: &Order) -> String {
    let mut words = format!("{:?} {}", order.hardness, order.refresh);
    for what in &order.what {
        words.push('\n');
        words.push_str(&what.identity());
    }
    words
}
