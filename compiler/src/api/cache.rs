//! A bounded cache of expensive values that threads share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last `capacity` values, made on demand. Two threads that want the same value make it once; others don't wait for them.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    capacity: usize,
    /// The most recently used one last.
    entries: Mutex<VecDeque<Entry<K, V>>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: Place<V>,
}

/// Where a value will be; locked while it is made.
type Place<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<K: PartialEq, V> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Cache<K, V> {
        Cache { capacity, entries: Mutex::default() }
    }

    /// The value of a key, made by `make` if it is not there. An error is not kept.
    pub(super) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let place = self.place(key);
        let mut value = lock(&place);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        let made = Arc::new(make()?);
        *value = Some(made.clone());
        Ok(made)
    }

    fn place(&self, key: K) -> Place<V> {
        let mut entries = lock(&self.entries);
        let found = entries.iter().position(|entry| entry.key == key);
        let entry = match found.and_then(|index| entries.remove(index)) {
            Some(entry) => entry,
            None => Entry { key, value: Place::default() },
        };
        let place = entry.value.clone();
        entries.push_back(entry);
        if entries.len() > self.capacity {
            entries.pop_front();
        }
        place
    }
}

/// A value whose making panicked is not there, so a poisoned lock guards nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn get(cache: &Cache<u32, u32>, key: u32, made: &AtomicUsize) -> u32 {
        let make = || {
            made.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(key * 10)
        };
        *cache.get(key, make).unwrap()
    }

    #[test]
    fn the_least_recently_used_value_goes() {
        let (cache, made) = (Cache::new(2), AtomicUsize::new(0));
        let made_by = |key| {
            let before = made.load(Ordering::Relaxed);
            assert_eq!(get(&cache, key, &made), key * 10);
            made.load(Ordering::Relaxed) - before
        };
        assert_eq!([1, 2, 1, 3, 1, 2, 1].map(made_by), [1, 1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn threads_make_a_value_once() {
        let (cache, made) = (Cache::new(2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(get(&cache, 7, &made), 70));
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn errors_are_not_kept() {
        let cache = Cache::new(2);
        assert_eq!(cache.get(1, || Err("no")), Err("no"));
        assert_eq!(cache.get(1, || Ok::<_, &str>(5)).as_deref(), Ok(&5));
    }
}
