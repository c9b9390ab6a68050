//! How much of the server each user may take at a time.
//!
//! What requests take of it (places in flight, watches, memory of bodies) is kept in pools, and each
//! pool is shared by one rule: *a user may hold at most as much as is free*. A single user gets to
//! half of a pool, two greedy ones to a third each, and however many are greedy, there is room left
//! for the next one. Requests that find no place wait for one, as long as not too many do: a burst
//! of short ones is worked off, in the order in which they came. Who finds no room at all is told to
//! come back (429 with `Retry-After`), which client libraries do by themselves.
//!
//! Guarantees: requests of this process, and of the system's own users, are never refused. Renewals
//! of leases have a pool of their own, so that no flood of others makes a leader lose its lease.
//! Unlike in Kubernetes, `system:masters` is a user like others: the rule leaves room for
//! administrators anyway, and most floods come from their scripts.
//!
//! Users are told apart by a keyed hash of their name, which makes a check free of allocations.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::authn::UserInfo;
use crate::authz::{ACCOUNT_PREFIX, Attributes};
use crate::config::Limits;
use crate::metrics::Rejections;
use crate::status_error::ApiError;

/// So many users are remembered for their rate before those who rest are forgotten.
const REMEMBERED: usize = 4096;
/// Share of the places for changes that is added for leases alone.
const LEASES: usize = 5;
/// So many requests may wait for each place.
const WAITING: usize = 2;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);

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
    pub(crate) async fn admit(
        &self,
        client: Client,
        attributes: &Attributes,
    ) -> Result<Share, ApiError> {
        self.check_rate(client)?;
        let pool = match attributes.verb.as_str() {
            _ if attributes.resource == "leases" => &self.leases,
            "create" | "update" | "patch" | "delete" | "deletecollection" => &self.changes,
            _ => &self.reads,
        };
        let Some(user) = client else {
            return self.take(pool, client, 1);
        };
        let place = match pool.place(user) {
            Ok(place) => Some(place),
            Err(None) => None,
            Err(Some(wait)) => {
                let waited = tokio::time::timeout(PATIENCE, wait).await;
                waited.ok().and_then(Result::ok)
            }
        };
        place.ok_or_else(|| self.reject(pool.name, 1))
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
    /// Who waits to hold one, and where it is to be given to; nobody who could have it.
    waiting: VecDeque<(u64, oneshot::Sender<Share>)>,
}

impl Taken {
    fn take(&mut self, limit: usize, user: u64, amount: usize) -> bool {
        let free = limit.saturating_sub(self.all);
        let held = self.by_user.get(&user).copied().unwrap_or(0);
        if held + amount > free {
            return false;
        }
        self.all += amount;
        self.by_user.insert(user, held + amount);
        true
    }

    /// The next of those who wait, with what it waited for.
    fn next(&mut self, limit: usize) -> Option<(u64, oneshot::Sender<Share>)> {
        while self.waiting.front().is_some_and(|(_, at)| at.is_closed()) {
            self.waiting.pop_front();
        }
        let mut refused = None;
        for index in 0..self.waiting.len() {
            let (user, at) = &self.waiting[index];
            let user = *user;
            if refused == Some(user) || at.is_closed() {
                continue;
            }
            if self.take(limit, user, 1) {
                return self.waiting.remove(index);
            }
            refused = Some(user);
        }
        None
    }
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
        amount == 0 || self.taken.lock().take(self.limit, user, amount)
    }

    /// A place, or else where to wait for one, as far as there is room to wait.
    fn place(self: &Arc<Self>, user: u64) -> Result<Share, Option<oneshot::Receiver<Share>>> {
        let mut taken = self.taken.lock();
        if taken.take(self.limit, user, 1) {
            return Ok(self.share(user));
        }
        let room = self.limit * WAITING;
        if taken.waiting.len() >= room {
            taken.waiting.retain(|(_, at)| !at.is_closed());
        }
        if taken.waiting.len() >= room {
            return Err(None);
        }
        let (at, wait) = oneshot::channel();
        taken.waiting.push_back((user, at));
        Err(Some(wait))
    }

    fn share(self: &Arc<Self>, user: u64) -> Share {
        Share {
            pool: self.clone(),
            client: Some(user),
            amount: 1,
        }
    }

    fn give_back(self: &Arc<Self>, user: u64, amount: usize) {
        let mut taken = self.taken.lock();
        taken.all -= amount;
        if let Some(held) = taken.by_user.get_mut(&user) {
            *held -= amount;
            if *held == 0 {
                taken.by_user.remove(&user);
            }
        }
        let next: Vec<_> = std::iter::from_fn(|| taken.next(self.limit)).collect();
        // A place that nobody waits for any more comes back here at once.
        drop(taken);
        for (user, at) in next {
            drop(at.send(self.share(user)));
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
    use futures::FutureExt;

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
        let at_once = || flow.admit(client, &asks).now_or_never()?.ok();
        std::iter::from_fn(at_once).take(1000).collect()
    }

    #[tokio::test]
    async fn greedy_users_leave_room_for_the_next_one() {
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

    #[tokio::test]
    async fn who_is_never_refused() {
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
        let asks = asks("update", "leases");
        let renewal = flow.admit(user(&flow, "u"), &asks).now_or_never();
        assert!(
            renewal.is_some_and(|place| place.is_ok()) && held.len() == 6,
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
            let asks = asks("get", "secrets");
            let place = flow.admit(user(&flow, name), &asks).now_or_never();
            place.unwrap().map(drop)
        };
        assert!(ask("a").is_ok() && ask("a").is_ok());
        let error = ask("a").unwrap_err();
        assert!(matches!(error, ApiError::TooManyRequests { seconds: 1 }));
        assert!(ask("b").is_ok());
        assert!(ask("system:x").is_ok() && ask("system:x").is_ok() && ask("system:x").is_ok());
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_in_turn_and_not_for_ever() {
        let flow = flow(&small());
        let asks = asks("create", "secrets");
        let mut held = greedy(&flow, "a", "create");
        let wait = |name: &str| Box::pin(flow.admit(user(&flow, name), &asks));
        let (mut first, mut second) = (wait("a"), wait("a"));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        let other = flow.admit(user(&flow, "b"), &asks).now_or_never();
        assert!(other.unwrap().is_ok(), "others need not wait");
        held.pop();
        assert!((&mut second).now_or_never().is_none(), "it is not its turn");
        held.push((&mut first).now_or_never().unwrap().unwrap());
        // Who gave up is passed over.
        drop(second);
        let mut third = wait("a");
        assert!((&mut third).now_or_never().is_none());
        held.pop();
        held.push((&mut third).now_or_never().unwrap().unwrap());
        let mut waiting: Vec<_> = (0..24).map(|_| wait("a")).collect();
        assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
        let refused = wait("a").now_or_never().unwrap();
        assert!(refused.is_err(), "nor is there room for all");
        for wait in futures::future::join_all(waiting).await {
            assert!(matches!(
                wait,
                Err(ApiError::TooManyRequests { seconds: 1 })
            ));
        }
        drop(held);
        assert_eq!(flow.changes.taken.lock().all, 0);
        assert_eq!(greedy(&flow, "a", "create").len(), 6);
    }
}
