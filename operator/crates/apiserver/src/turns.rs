//! Whose turn it is, where several who would only get in each other's way had better wait.
//!
//! Things share a fixed number of turns; two that share one wait without need, and no more than that.
//! Nobody may hold two turns of the same set.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use tokio::sync::Mutex;

const TURNS: usize = 64;

/// See the module. Those who wait for a turn get it in the order in which they came.
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    pub(crate) fn of(&self, thing: impl Hash) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(thing);
        &self.0[(hash % TURNS as u64) as usize]
    }
}
