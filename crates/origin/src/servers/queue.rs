//! Requests that wait for a server with room: first come, first served, and each place that comes free goes to one of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Those who wait, by what they want (`W`), for a place (`P`).
#[derive(Debug)]
pub(super) struct Queue<W, P> {
    /// Read by everybody who gives a place back, so that nobody takes the lock while nobody waits.
    waiting: AtomicUsize,
    most: usize,
    line: Mutex<Line<W, P>>,
}

/// The line itself, under its lock.
#[derive(Debug)]
pub(super) struct Line<W, P> {
    next: u64,
    waiters: BTreeMap<u64, Waiter<W, P>>,
    /// Those who take any server.
    any: BTreeSet<u64>,
    /// Those who want one server only.
    only: HashMap<usize, BTreeSet<u64>>,
}

#[derive(Debug)]
pub(super) struct Waiter<W, P> {
    pub(super) only: Option<usize>,
    pub(super) wants: W,
    /// Where its place goes. Dropped without one, it asks anew.
    pub(super) place: oneshot::Sender<P>,
}

/// A place in the line, given up when this is dropped.
pub(super) struct Ticket<'a, W, P> {
    queue: &'a Queue<W, P>,
    number: u64,
    pub(super) place: oneshot::Receiver<P>,
}

impl<W, P> Queue<W, P> {
    /// At most this many wait.
    pub(super) fn new(most: usize) -> Self {
        let line = Line { next: 0, waiters: BTreeMap::new(), any: BTreeSet::new(), only: HashMap::new() };
        Self { waiting: AtomicUsize::new(0), most, line: Mutex::new(line) }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Joins the line; `None` when it is full. A place may have come free since the caller looked, and who freed it saw nobody
    /// wait: so `look` looks once more, with everybody who frees one from now on knowing of this one. The line is locked then.
    pub(super) fn join<T>(
        &self,
        only: Option<usize>,
        wants: W,
        look: impl FnOnce(&W) -> Option<T>,
    ) -> Option<Result<Ticket<'_, W, P>, T>> {
        let mut line = self.lock();
        if line.waiters.len() >= self.most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(found) = look(&wants) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Some(Err(found));
        }
        let (place, receiver) = oneshot::channel();
        line.insert(number, Waiter { only, wants, place });
        drop(line);
        Some(Ok(Ticket { queue: self, number, place: receiver }))
    }

    /// The line, locked. Whoever takes waiters out of it says so with [`Queue::left`].
    pub(super) fn lock(&self) -> MutexGuard<'_, Line<W, P>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts those who left the line.
    pub(super) fn left(&self, line: &Line<W, P>) {
        self.waiting.store(line.waiters.len(), Ordering::SeqCst);
    }
}

impl<W, P> Line<W, P> {
    /// The first who takes a place at `server`, out of the line.
    pub(super) fn next_for(&mut self, server: usize, takes: impl Fn(&W) -> bool) -> Option<Waiter<W, P>> {
        let waiters = &self.waiters;
        let any = self.any.iter().find(|number| waiters.get(number).is_some_and(|waiter| takes(&waiter.wants)));
        let only = self.only.get(&server).and_then(BTreeSet::first);
        let number = any.into_iter().chain(only).min().copied()?;
        self.remove(number)
    }

    /// The numbers of those in line, in order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.waiters.keys().copied().collect()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Waiter<W, P>> {
        self.waiters.get(&number)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Waiter<W, P>> {
        let waiter = self.waiters.remove(&number)?;
        match waiter.only {
            None => {
                self.any.remove(&number);
            }
            Some(server) => {
                if let Some(numbers) = self.only.get_mut(&server) {
                    numbers.remove(&number);
                    if numbers.is_empty() {
                        self.only.remove(&server);
                    }
                }
            }
        }
        Some(waiter)
    }

    fn insert(&mut self, number: u64, waiter: Waiter<W, P>) {
        match waiter.only {
            None => self.any.insert(number),
            Some(server) => self.only.entry(server).or_default().insert(number),
        };
        self.waiters.insert(number, waiter);
    }
}

impl<W, P> Drop for Ticket<'_, W, P> {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        if line.remove(self.number).is_some() {
            self.queue.left(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join<'a>(queue: &'a Queue<Vec<usize>, u8>, only: Option<usize>, tried: &[usize]) -> Ticket<'a, Vec<usize>, u8> {
        queue.join(only, tried.to_vec(), |_| None::<()>).unwrap().unwrap()
    }

    fn serve(queue: &Queue<Vec<usize>, u8>, server: usize, place: u8) -> bool {
        let mut line = queue.lock();
        let waiter = line.next_for(server, |tried| !tried.contains(&server));
        queue.left(&line);
        waiter.is_some_and(|waiter| waiter.place.send(place).is_ok())
    }

    #[test]
    fn who_came_first_is_served_first_with_what_it_takes() {
        let queue = Queue::new(9);
        let mut tickets = [
            join(&queue, None, &[1]),
            join(&queue, Some(2), &[]),
            join(&queue, None, &[]),
            join(&queue, Some(1), &[]),
            join(&queue, None, &[]),
        ];
        assert_eq!(queue.waiting(), 5);
        for (place, server) in [(1, 1), (2, 2), (3, 1), (4, 2), (5, 2)] {
            assert!(serve(&queue, server, place), "{place}");
        }
        let places = tickets.each_mut().map(|ticket| ticket.place.try_recv().ok());
        assert_eq!(places, [Some(2), Some(4), Some(1), Some(3), Some(5)]);
        assert_eq!(queue.waiting(), 0);
        assert!(!serve(&queue, 1, 6));
    }

    #[test]
    fn the_line_is_bounded_and_who_leaves_makes_room() {
        let queue = Queue::new(2);
        let first = join(&queue, None, &[]);
        let second = join(&queue, Some(1), &[]);
        assert!(queue.join(None, Vec::new(), |_| None::<()>).is_none());
        drop(second);
        assert_eq!(queue.waiting(), 1);
        let mut third = join(&queue, None, &[]);
        drop(first);
        assert!(serve(&queue, 0, 7));
        assert_eq!(third.place.try_recv().ok(), Some(7));
        assert!(Queue::<Vec<usize>, u8>::new(0).join(None, Vec::new(), |_| None::<()>).is_none());
    }

    #[test]
    fn a_place_that_came_free_before_the_line_was_joined_is_found() {
        let queue = Queue::<Vec<usize>, u8>::new(2);
        let found = queue.join(None, Vec::new(), |_| Some("a place"));
        assert_eq!(found.unwrap().err(), Some("a place"));
        assert_eq!(queue.waiting(), 0);
    }
}
