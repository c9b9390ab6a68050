//! `ResourceQuota`: charged in the transaction of the write, see [`super`].
//!
//! Guarantees: `status.used` is the sum over what is stored at the same revision, once
//! `status.hard` equals `spec.hard`; until then (between the two transactions that make a quota, or
//! change what it counts) whoever needs the sum counts, and stores it with what it writes.
//! A quota that is exceeded when it is made blocks what takes more, and nothing else.
//!
//! Within a process the writes that a quota counts wait for each other, namespace by namespace; they
//! would only fail at each other's revisions.

use std::sync::Arc;

use serde_json::Value;
use store::{Expect, Key, Object, Op, Replace, Write, WriteError};

use super::Amount;
use super::sums::{ATTEMPTS, Amounts, QUOTAS, Quota, count, counted, quotas, read, unreadable};
use super::usage::{ABSENT, Measure, NAMES, Workload};
use crate::builtin::namespace;
use crate::handlers::conflict;
use crate::meta;
use crate::registry::{ResourceDef, Snapshot};
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;

/// What a write changes of what quotas count.
struct Change {
    key: Key,
    /// More objects, or fewer.
    objects: i128,
    before: Option<Workload>,
    after: Option<Workload>,
}

/// As `Store::commit`, with the quotas of the namespace. `current` is the object that is written
/// over. Where the answer is a failed guard, what was decided on has changed: look again.
///
/// # Errors
/// `Forbidden`, where a quota does not allow it.
pub(crate) async fn commit(
    server: &ApiServer,
    def: &ResourceDef,
    current: Option<&Object>,
    mut write: Write,
) -> Result<Result<Arc<Object>, WriteError>, ApiError> {
    let store = &server.inner.store;
    let Some(change) = Change::of(def, current, &write)? else {
        return Ok(store.commit(write).await);
    };
    let name = write.key.namespace.clone();
    let space = namespace::key(&name);
    if !write.guards.iter().any(|(key, _)| *key == space) {
        let found = namespace::find(server, &name).await?;
        let expect = found.map_or(Expect::Absent, |found| Expect::Revision(found.revision));
        write.guards.push((space, expect));
    }
    let is_quota = *def.storage == *QUOTAS && matches!(write.op, Op::Put(_));
    // After the namespace: whoever makes a quota touches the namespace with it.
    if !is_quota && quotas(server, &name).await?.is_empty() {
        return Ok(store.commit(write).await);
    }
    let _turn = server.inner.quota_turns.of(&name).lock().await;
    let mut quotas = quotas(server, &name).await?;
    let touched = match is_quota && counts_other(current, &write) {
        true => namespace::find(server, &name).await?,
        false => None,
    };
    for _ in 0..ATTEMPTS {
        let charged = change.charge(server, def, &quotas).await?;
        let mut also: Vec<Replace> = charged.iter().map(|(_, replace)| replace.clone()).collect();
        if let Some(space) = &touched {
            also.push(replace(space, read(space)?));
        }
        match store.commit_with(write.clone(), also).await {
            Err(WriteError::Replace { current }) => {
                for ((index, _), found) in charged.into_iter().zip(current).rev() {
                    match found {
                        Some(found) => quotas[index] = found,
                        None => drop(quotas.remove(index)),
                    }
                }
            }
            Ok(quota) if is_quota => return Ok(Ok(counted(server, quota).await)),
            answer => return Ok(answer),
        }
    }
    Err(too_busy(def, &write.key.name))
}

/// Would the quotas of the namespace allow it?
///
/// # Errors
/// As [`commit`].
pub(crate) async fn check(
    server: &ApiServer,
    def: &ResourceDef,
    current: Option<&Object>,
    write: &Write,
) -> Result<(), ApiError> {
    if let Some(change) = Change::of(def, current, write)? {
        let quotas = quotas(server, &write.key.namespace).await?;
        change.charge(server, def, &quotas).await?;
    }
    Ok(())
}

/// Can what a quota bounds be counted here? What an older version of the object has is left alone.
///
/// # Errors
/// `Invalid`, with every name that is not counted.
pub(crate) fn check_names(
    server: &ApiServer,
    def: &ResourceDef,
    quota: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if *def.storage != *QUOTAS {
        return Ok(());
    }
    let snapshot = server.inner.registry.snapshot();
    let known = |name: &str| {
        let before = old.is_some_and(|old| old["spec"]["hard"].get(name).is_some());
        before || ABSENT.contains(&name) || Measure::of(name, &snapshot).is_some()
    };
    let names = quota["spec"]["hard"].as_object().into_iter().flatten();
    let problem = |name: &String| {
        let detail = format!(
            "must be a standard resource for quota: counted here are {NAMES}, and \
             count/PLURAL.GROUP of every namespaced kind that is stored"
        );
        FieldError::invalid(format!("spec.hard[{name}]"), name.as_str(), detail)
    };
    let problems: Vec<_> = names
        .map(|(name, _)| name)
        .filter(|name| !known(name))
        .map(problem)
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid {
        subject: Subject::kind(def, meta::name(quota)),
        problems,
    })
}

impl Change {
    /// `None` where nothing changes that a quota could count.
    fn of(
        def: &ResourceDef,
        current: Option<&Object>,
        write: &Write,
    ) -> Result<Option<Self>, ApiError> {
        if write.key.namespace.is_empty() || def.strategy.view().is_some() {
            return Ok(None);
        }
        let runs = def.strategy.runs_tasks();
        let before = current.filter(|_| runs).map(|o| Workload::parse(&o.json));
        let (objects, after) = match &write.op {
            Op::Put(new) => {
                let objects = i128::from(write.expect == Expect::Absent);
                (objects, runs.then(|| Workload::read(new)))
            }
            Op::Delete(_) => (-1, None),
        };
        let change = Self {
            key: write.key.clone(),
            objects,
            before: before.transpose().map_err(unreadable)?,
            after: after.transpose().map_err(unreadable)?,
        };
        let tasks = |workload: &Option<Workload>| workload.as_ref().map(Workload::tasks);
        let nothing = objects == 0
            && !change.is_wanted()
            && tasks(&change.before) == tasks(&change.after)
            && *def.storage != *QUOTAS;
        Ok((!nothing).then_some(change))
    }

    /// Does somebody ask for it? Else it is only observed.
    fn is_wanted(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => !after.wants_same(before),
            (_, after) => after.is_some(),
        }
    }

    /// How much more is taken of what is measured.
    fn more(&self, measure: &Measure) -> Result<Amount, ApiError> {
        if let Measure::Objects(collection) = measure {
            let counts = *collection == self.key.resource;
            return Ok(Amount::count(if counts { self.objects } else { 0 }));
        }
        let takes = |workload: &Option<Workload>| match workload {
            Some(workload) => workload.takes(measure).map_err(unreadable),
            None => Ok(Amount::default()),
        };
        Ok(takes(&self.after)? - takes(&self.before)?)
    }

    /// Does a quota have to be told of something, and is not?
    fn lacks(&self, measure: &Measure) -> bool {
        let (Measure::Resource(resource), Some(after)) = (measure, &self.after) else {
            return false;
        };
        let told = |workload: &Workload| workload.per_task(*resource).is_some();
        let no_news = |before: &Workload| !told(before) && before.tasks() >= after.tasks();
        let news = self.is_wanted() && !self.before.as_ref().is_some_and(no_news);
        news && after.tasks() > 0 && !told(after)
    }

    /// Would it be known only afterwards how much it takes?
    fn is_boundless(&self, measure: &Measure) -> bool {
        let global =
            |workload: &Option<Workload>| workload.as_ref().is_some_and(Workload::is_global);
        let counts_tasks = !matches!(measure, Measure::Objects(_));
        counts_tasks && global(&self.after) && !global(&self.before)
    }

    /// The quotas that change, by their place in the list, as they are to be.
    async fn charge(
        &self,
        server: &ApiServer,
        def: &ResourceDef,
        quotas: &[Arc<Object>],
    ) -> Result<Vec<(usize, Replace)>, ApiError> {
        let snapshot = server.inner.registry.snapshot();
        let forbidden = |message: String| ApiError::Forbidden {
            subject: Subject::resource(def, &self.key.name),
            message,
        };
        let mut charged = Vec::new();
        for (index, object) in quotas.iter().enumerate() {
            let quota = Quota::read(object)?;
            // Its own sum is taken anew after it is written.
            if object.key == self.key {
                continue;
            }
            let more = self.by_name(&quota, &snapshot).map_err(forbidden)?;
            if more.is_empty() {
                continue;
            }
            let used = match &quota.used {
                Some(used) => used.clone(),
                None => count(server, object, &quota.hard).await?,
            };
            if self.objects > 0 || self.is_wanted() {
                quota.allow(&used, &more).map_err(forbidden)?;
            }
            charged.push((index, replace(object, quota.with_used(&added(used, &more)))));
        }
        Ok(charged)
    }

    /// How much more is taken of what a quota bounds, or why it cannot be said.
    fn by_name(&self, quota: &Quota, snapshot: &Snapshot) -> Result<Amounts, String> {
        let (mut more, mut lacking) = (Amounts::new(), Vec::new());
        for name in quota.hard.keys() {
            let Some(measure) = Measure::of(name, snapshot) else {
                continue;
            };
            if self.is_boundless(&measure) {
                return Err(format!(
                    "failed quota: {}: must not run in mode Global, whose number of tasks is not known beforehand",
                    quota.name
                ));
            }
            if self.lacks(&measure) {
                lacking.push(format!("{name} for: {}", self.key.name));
            }
            let amount = self.more(&measure).map_err(|error| error.to_string())?;
            if amount != Amount::default() {
                more.insert(name.clone(), amount);
            }
        }
        if lacking.is_empty() {
            return Ok(more);
        }
        Err(format!(
            "failed quota: {}: must specify {}",
            quota.name,
            lacking.join("; ")
        ))
    }
}

/// Will the quota count anything else than before?
fn counts_other(current: Option<&Object>, write: &Write) -> bool {
    let before = current.map(read);
    match (&write.op, before) {
        (Op::Put(new), Some(Ok(before))) => new["spec"]["hard"] != before["spec"]["hard"],
        _ => true,
    }
}

fn replace(object: &Object, value: Value) -> Replace {
    Replace {
        key: object.key.clone(),
        revision: object.revision,
        value,
    }
}

fn added(mut used: Amounts, more: &Amounts) -> Amounts {
    for (name, more) in more {
        let used = used.entry(name.clone()).or_default();
        *used = *used + *more;
    }
    used
}

fn too_busy(def: &ResourceDef, name: &str) -> ApiError {
    conflict(
        def,
        name,
        "the quotas of the namespace change too often; please try again",
    )
}
