//! How much of the server each user may take at a time.
//!
//! What requests take of it (places in flight, watches, memory of bodies) is kept in pools, and each
//! pool is shared by one rule: *a user may hold at most as much as is free*. A single user gets to
//! half of a pool, two greedy ones to a third each, and however many are greedy, there is room left
//! for the next one. Nothing waits here: who finds no room is told to come back (429 with
//! `Retry-After`), which client libraries do by themselves.
//!
//! Guarantees: requests of this process, and of the system's own users, are never refused. Renewals
//! of leases have a pool of their own, so that no flood of others makes a leader lose its lease.
//! Unlike in Kubernetes, `system:masters` is a user like others: the rule leaves room for
//! administrators anyway, and most floods come from their scripts.
//!
//! Users are told apart by a keyed hash of their name, which makes a check free of allocations.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::authn::UserInfo;
use crate::authz::{ACCOUNT_PREFIX, Attributes};
use crate::config::Limits;
use crate::metrics::Rejections;
use crate::status_error::ApiError;

/// So many users are remembered for their rate before those who rest are forgotten.
const REMEMBERED: usize = 4096;
/// Share of the places for changes that is added for leases alone.
const LEASES: usize = 5;

/// Whose share a request is counted in; `None` is not counted.
pub(crate) type Client = Option<u64>;

type Rate = RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>;

/// See the module.
pub(crate) struct Flow {
    hasher: RandomState,
    rate: Option<Rate>,
    reads: Arc<Pool>,
    changes: Arc<Pool>,
    leases: Arc<Pool>,
    watches: Arc<Pool>,
    bodies: Arc<Pool>,
    /// Large bodies are worked on by so many threads.
    pub(crate) heavy: Arc<Semaphore>,
    rejections: Rejections,
}

impl Flow {
    pub(crate) fn new(limits: &Limits, rejections: Rejections) -> Self {
        let pool = |name, limit| Arc::new(Pool::new(name, limit));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            hasher: RandomState::new(),
            rate: NonZeroU32::new(limits.user_rate).map(|rate| {
                RateLimiter::new(
                    Quota::per_second(rate),
                    HashMapStateStore::default(),
                    DefaultClock::default(),
                )
            }),
            reads: pool("reads", limits.reads),
            changes: pool("changes", limits.changes),
            leases: pool("leases", limits.changes.div_ceil(LEASES)),
            watches: pool("watches", limits.watches),
            bodies: pool("body bytes", limits.body_memory),
            heavy: Arc::new(Semaphore::new(threads)),
            rejections,
        }
    }

    /// Whom a request counts for. The system's own users are `own` identities only: who merely acts
    /// as one of them counts like anybody.
    pub(crate) fn client(&self, user: &UserInfo, in_process: bool, own: bool) -> Client {
        let system = own
            && user.name.starts_with("system:")
            && !user.is_anonymous()
            && !user.name.starts_with(ACCOUNT_PREFIX);
        (!in_process && !system).then(|| self.hasher.hash_one(&user.name))
    }

    /// A place for this request, until the share is dropped.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub(crate) fn admit(&self, client: Client, attributes: &Attributes) -> Result<Share, ApiError> {
        self.check_rate(client)?;
        let pool = match attributes.verb.as_str() {
            _ if attributes.resource == "leases" => &self.leases,
            "create" | "update" | "patch" | "delete" | "deletecollection" => &self.changes,
            _ => &self.reads,
        };
        self.take(pool, client, 1)
    }

    /// Room for one more watch.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub(crate) fn watch(&self, client: Client) -> Result<Share, ApiError> {
        self.take(&self.watches, client, 1)
    }

    /// Room for a body of this size; it may grow.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub(crate) fn body(&self, client: Client, size: usize) -> Result<Share, ApiError> {
        self.take(&self.bodies, client, size)
    }

    /// Makes room for a body that turns out longer.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub(crate) fn grow(&self, share: &mut Share, size: usize) -> Result<(), ApiError> {
        let Share { pool, client, .. } = share;
        let mut more = self.take(pool, *client, size)?;
        share.amount += std::mem::take(&mut more.amount);
        Ok(())
    }

    fn take(&self, pool: &Arc<Pool>, client: Client, amount: usize) -> Result<Share, ApiError> {
        if let Some(user) = client
            && !pool.take(user, amount)
        {
            return Err(self.reject(pool.name, 1));
        }
        Ok(Share {
            pool: pool.clone(),
            client,
            amount,
        })
    }

    fn check_rate(&self, client: Client) -> Result<(), ApiError> {
        let (Some(rate), Some(user)) = (&self.rate, client) else {
            return Ok(());
        };
        let Err(early) = rate.check_key(&user) else {
            return Ok(());
        };
        if rate.len() > REMEMBERED {
            rate.retain_recent();
        }
        let wait = early.wait_time_from(DefaultClock::default().now());
        Err(self.reject("rate", wait.as_secs() + 1))
    }

    fn reject(&self, pool: &'static str, seconds: u64) -> ApiError {
        self.rejections.count(pool);
        ApiError::TooManyRequests { seconds }
    }
}

/// Something that there is only so much of.
struct Pool {
    name: &'static str,
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only who holds something is here.
    by_user: HashMap<u64, usize>,
}

impl Pool {
    fn new(name: &'static str, limit: usize) -> Self {
        Self {
            name,
            limit,
            taken: Mutex::default(),
        }
    }

    fn take(&self, user: u64, amount: usize) -> bool {
        if amount == 0 {
            return true;
        }
        let mut taken = self.taken.lock();
        let free = self.limit.saturating_sub(taken.all);
        let held = taken.by_user.get(&user).copied().unwrap_or(0);
        if held + amount > free {
            return false;
        }
        taken.all += amount;
        taken.by_user.insert(user, held + amount);
        true
    }

    fn give_back(&self, user: u64, amount: usize) {
        let mut taken = self.taken.lock();
        taken.all -= amount;
        if let Some(held) = taken.by_user.get_mut(&user) {
            *held -= amount;
            if *held == 0 {
                taken.by_user.remove(&user);
            }
        }
    }
}

/// What a request holds of a pool, until it is dropped.
pub(crate) struct Share {
    pool: Arc<Pool>,
    client: Client,
    amount: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(user) = self.client
            && self.amount > 0
        {
            self.pool.give_back(user, self.amount);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn flow(limits: &Limits) -> Flow {
        Flow::new(limits, Rejections::default())
    }

    fn small() -> Limits {
        Limits {
            reads: 12,
            changes: 12,
            watches: 12,
            body_memory: 100,
            ..Limits::default()
        }
    }

    fn asks(verb: &str, resource: &str) -> Attributes {
        Attributes {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            ..Attributes::default()
        }
    }

    fn user(flow: &Flow, name: &str) -> Client {
        flow.client(&UserInfo::new(name, &[]), false, true)
    }

    /// Takes all that it gets.
    fn greedy(flow: &Flow, name: &str, verb: &str) -> Vec<Share> {
        let (client, asks) = (user(flow, name), asks(verb, "secrets"));
        std::iter::from_fn(|| flow.admit(client, &asks).ok())
            .take(1000)
            .collect()
    }

    #[test]
    fn greedy_users_leave_room_for_the_next_one() {
        let flow = flow(&small());
        let first = greedy(&flow, "first", "create");
        let second = greedy(&flow, "second", "patch");
        assert_eq!((first.len(), second.len()), (6, 3));
        assert_eq!(greedy(&flow, "third", "delete").len(), 2);
        assert_eq!(
            greedy(&flow, "first", "list").len(),
            6,
            "reads are counted apart"
        );
        drop((first, second));
        assert_eq!(
            greedy(&flow, "third", "update").len(),
            6,
            "everything was given back"
        );
        assert!(
            flow.changes.taken.lock().by_user.is_empty(),
            "nobody is remembered"
        );
    }

    #[test]
    fn who_is_never_refused() {
        let flow = flow(&small());
        let users =
            |name: &str, groups: &[&str]| flow.client(&UserInfo::new(name, groups), false, true);
        assert_eq!(
            users("system:obiente:controllers", &["system:masters"]),
            None
        );
        assert_eq!(flow.client(&UserInfo::new("admin", &[]), true, true), None);
        let system = UserInfo::new("system:x", &[]);
        assert_eq!(flow.client(&system, false, true), None);
        assert!(flow.client(&system, false, false).is_some());
        assert_eq!(greedy(&flow, "system:node:a", "create").len(), 1000);
        assert!(flow.client(&UserInfo::anonymous(), false, true).is_some());
        assert!(users("system:serviceaccount:a:b", &[]).is_some());
        assert!(users("admin", &["system:masters"]).is_some());
        let held = greedy(&flow, "u", "update");
        let renewal = flow.admit(user(&flow, "u"), &asks("update", "leases"));
        assert!(
            renewal.is_ok() && held.len() == 6,
            "leases are counted apart"
        );
    }

    #[test]
    fn bodies_grow_within_their_pool() {
        let flow = flow(&small());
        let client = user(&flow, "u");
        let mut share = flow.body(client, 0).unwrap();
        flow.grow(&mut share, 30).unwrap();
        flow.grow(&mut share, 20).unwrap();
        let error = flow.grow(&mut share, 1).unwrap_err();
        assert!(matches!(error, ApiError::TooManyRequests { .. }));
        assert!(flow.body(user(&flow, "v"), 50).is_ok());
        drop(share);
        assert_eq!(flow.bodies.taken.lock().all, 0);
    }

    #[test]
    fn rates_are_by_user_and_say_when_to_come_back() {
        let flow = flow(&Limits {
            user_rate: 2,
            ..Limits::default()
        });
        let ask = |name: &str| {
            flow.admit(user(&flow, name), &asks("get", "secrets"))
                .map(drop)
        };
        assert!(ask("a").is_ok() && ask("a").is_ok());
        let error = ask("a").unwrap_err();
        assert!(matches!(error, ApiError::TooManyRequests { seconds: 1 }));
        assert!(ask("b").is_ok());
        assert!(flow.admit(None, &asks("get", "secrets")).is_ok());
    }
}
