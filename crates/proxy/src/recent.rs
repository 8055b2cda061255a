//! What was used last, of some kind of thing and up to some number. The only file that names lru.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

/// A bounded map: what has not been used for the longest time makes room.
pub(crate) struct Recent<K: Hash + Eq, V>(Mutex<LruCache<K, V>>);

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Room for so many.
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::sparse(most)))
    }

    /// Room for as many as [`Recent::put_within`] says.
    pub(crate) fn unbounded() -> Self {
        Self(Mutex::new(LruCache::unbounded()))
    }

    /// What `look` makes of a value, if it is there; it is dropped where `look` makes nothing of it.
    pub(crate) fn look<Q, R>(&self, key: &Q, look: impl FnOnce(&mut V) -> Option<R>) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut known = self.0.lock();
        let seen = look(known.get_mut(key)?);
        if seen.is_none() {
            known.pop(key);
        }
        seen
    }

    pub(crate) fn put(&self, key: K, value: V) {
        self.0.lock().put(key, value);
    }

    /// As [`Recent::put`], where it is told for each call how much there is room for; gives what had to make room.
    pub(crate) fn put_within(&self, key: K, value: V, most: usize) -> Vec<K> {
        let mut known = self.0.lock();
        known.put(key, value);
        let over = known.len().saturating_sub(most);
        (0..over).filter_map(|_| known.pop_lru()).map(|(key, _)| key).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().pop(key);
    }

    /// Drops what `keep` does not want.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.lock().retain(|key, value| keep(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let recent = Recent::new(NonZeroUsize::new(2).unwrap());
        let known = |key: &str| recent.look(key, |value: &mut u8| Some(*value));
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(known("a"), Some(1));
        recent.put("c", 3);
        assert_eq!((known("a"), known("b"), known("c")), (Some(1), None, Some(3)));
        assert_eq!(recent.look("a", |_| None::<u8>), None);
        assert_eq!(known("a"), None, "of no use, and gone");
        recent.retain(|key, _| *key != "c");
        assert_eq!(known("c"), None);
    }

    #[test]
    fn the_oldest_makes_room_and_is_told() {
        let recent = Recent::unbounded();
        assert_eq!(recent.put_within("a", (), 2), Vec::<&str>::new());
        assert_eq!(recent.put_within("b", (), 2), Vec::<&str>::new());
        assert_eq!(recent.put_within("a", (), 2), Vec::<&str>::new());
        assert_eq!(recent.put_within("c", (), 2), ["b"]);
        assert_eq!((recent.put_within("c", (), 1), recent.len()), (vec!["a"], 1));
    }
}
