//! A batch of writes on its way to Postgres, and what Postgres says of it.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{PgConnection, Row};

use crate::cache::Change;
use crate::db::{from_db, to_db};
use crate::error::{Error, WriteError};
use crate::object::{Expect, Key, Object, Op, Replace, Write};
use crate::text::Text;

/// A write, ready to be sent.
pub(crate) struct Prepared {
    pub(crate) key: Key,
    expect: Option<i64>,
    /// `None`: a delete that keeps the stored value.
    text: Option<Text>,
    deleted: bool,
    pub(crate) guards: Vec<(Key, Option<i64>)>,
}

impl Prepared {
    /// Serializes the value and checks what Postgres would choke on.
    pub(crate) fn new(write: Write) -> Result<Self, Error> {
        let Write {
            key,
            expect,
            op,
            guards,
        } = write;
        for key in guards.iter().map(|(key, _)| key).chain([&key]) {
            if [&key.resource, &key.namespace, &key.name]
                .iter()
                .any(|part| part.contains('\0'))
            {
                return Err(Error::Database(format!(
                    "the key {key:?} contains a NUL character"
                )));
            }
        }
        let (text, deleted) = match op {
            Op::Put(value) => (Some(Text::from_value(value)?), false),
            Op::Delete(_) if expect == Expect::Absent => {
                return Err(Error::Database(format!(
                    "a delete of {key} cannot expect absence"
                )));
            }
            Op::Delete(value) => (value.map(Text::from_value).transpose()?, true),
        };
        let guards = guards
            .into_iter()
            .map(|(key, expect)| (key, expect_to_db(expect)))
            .collect();
        Ok(Self {
            key,
            expect: expect_to_db(expect),
            text,
            deleted,
            guards,
        })
    }
}

impl Prepared {
    /// A write and what is replaced together with it. Each guards the others, and guards look at
    /// the state before the batch: in one batch, all of them pass or none does.
    pub(crate) fn together(
        mut write: Write,
        also: Vec<Replace>,
    ) -> Result<(Self, Vec<Self>), Error> {
        if also.is_empty() {
            return Ok((Self::new(write)?, Vec::new()));
        }
        let own = (write.key.clone(), write.expect);
        let replaced =
            |replace: &Replace| (replace.key.clone(), Expect::Revision(replace.revision));
        write.guards.extend(also.iter().map(replaced));
        let all: Vec<_> = write.guards.iter().cloned().chain([own]).collect();
        let also = also.into_iter().map(|replace| {
            let expect = Expect::Revision(replace.revision);
            let others = all.iter().filter(|(key, _)| *key != replace.key);
            Self::new(Write {
                guards: others.cloned().collect(),
                key: replace.key,
                expect,
                op: Op::Put(replace.value),
            })
        });
        let also = also.collect::<Result<_, _>>()?;
        Ok((Self::new(write)?, also))
    }
}

/// As `store_write` has it: null is "some object", 0 is "none".
fn expect_to_db(expect: Expect) -> Option<i64> {
    match expect {
        Expect::Absent => Some(0),
        Expect::Exists => None,
        // Revision 0 was never given out; as a precondition it must fail, not mean "none".
        Expect::Revision(0) => Some(-1),
        Expect::Revision(revision) => Some(to_db(revision)),
    }
}

/// What `store_write` says of one write.
pub(crate) enum Outcome {
    Applied {
        revision: u64,
        stored: Option<String>,
    },
    /// Which guard, and what is at the key.
    Guard(usize, Option<(u64, String)>),
    Conflict(Option<(u64, String)>),
}

/// One write's result, from what Postgres said.
pub(crate) fn finish(write: Prepared, outcome: Outcome) -> Result<Change, WriteError> {
    let Prepared {
        key, text, deleted, ..
    } = write;
    match outcome {
        Outcome::Applied { revision, stored } => {
            let text = match (text, stored) {
                (Some(text), _) => text,
                (None, Some(stored)) => Text::parse(stored)?,
                (None, None) => {
                    return Err(
                        Error::Database(format!("{key} was deleted without a value")).into(),
                    );
                }
            };
            Ok(Change {
                object: text.into_object(key, revision),
                deleted,
            })
        }
        Outcome::Guard(nth, _) => Err(WriteError::Guard(nth)),
        Outcome::Conflict(found) => Err(WriteError::Conflict {
            current: current(key, found)?,
        }),
    }
}

fn current(key: Key, found: Option<(u64, String)>) -> Result<Option<Arc<Object>>, Error> {
    let object = |(revision, stored)| Ok(Text::parse(stored)?.into_object(key, revision));
    found.map(object).transpose()
}

/// The result of a write with others, from what Postgres said of each: its own change first.
pub(crate) fn finish_together(
    write: Prepared,
    outcome: Outcome,
    also: Vec<(Prepared, Outcome)>,
) -> Result<Vec<Change>, WriteError> {
    let own_guards = write.guards.len() - also.len();
    let change = match finish(write, outcome) {
        Err(WriteError::Guard(guard)) if guard >= own_guards => {
            let found = also.into_iter().map(|(write, outcome)| match outcome {
                Outcome::Guard(_, found) | Outcome::Conflict(found) => current(write.key, found),
                // Nothing of it was applied.
                Outcome::Applied { .. } => Ok(None),
            });
            let current = found.collect::<Result<_, _>>()?;
            return Err(WriteError::Replace { current });
        }
        result => result?,
    };
    let beside = also
        .into_iter()
        .map(|(write, outcome)| finish(write, outcome));
    [Ok(change)].into_iter().chain(beside).collect()
}

/// Applies a batch: one statement, one transaction.
pub(crate) async fn execute(
    connection: &mut PgConnection,
    id: i64,
    batch: &[&Prepared],
) -> Result<Vec<Outcome>, sqlx::Error> {
    let writes = || batch.iter().copied();
    let guards = || {
        let numbered = writes().zip(1_i32..);
        numbered.flat_map(|(w, n)| {
            w.guards
                .iter()
                .zip(0_i32..)
                .map(move |(g, nth)| (n, nth, g))
        })
    };
    let rows = sqlx::query(
        "select out_revision, out_guard, out_current, out_value
         from store_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(id)
    .bind(writes().map(|w| &*w.key.resource).collect::<Vec<_>>())
    .bind(writes().map(|w| &*w.key.namespace).collect::<Vec<_>>())
    .bind(writes().map(|w| &*w.key.name).collect::<Vec<_>>())
    .bind(writes().map(|w| w.expect).collect::<Vec<_>>())
    .bind(writes().map(|w| w.deleted).collect::<Vec<_>>())
    .bind(
        writes()
            .map(|w| w.text.as_ref().map(Text::as_str))
            .collect::<Vec<_>>(),
    )
    .bind(guards().map(|(write, _, _)| write).collect::<Vec<_>>())
    .bind(guards().map(|(_, nth, _)| nth).collect::<Vec<_>>())
    .bind(
        guards()
            .map(|(_, _, (key, _))| &*key.resource)
            .collect::<Vec<_>>(),
    )
    .bind(
        guards()
            .map(|(_, _, (key, _))| &*key.namespace)
            .collect::<Vec<_>>(),
    )
    .bind(
        guards()
            .map(|(_, _, (key, _))| &*key.name)
            .collect::<Vec<_>>(),
    )
    .bind(
        guards()
            .map(|(_, _, (_, expect))| *expect)
            .collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    if rows.len() != batch.len() {
        let text = format!(
            "store_write answered {} of {} writes",
            rows.len(),
            batch.len()
        );
        return Err(sqlx::Error::Protocol(text));
    }
    rows.iter()
        .map(|row| {
            let revision: Option<i64> = row.try_get("out_revision")?;
            let guard: Option<i32> = row.try_get("out_guard")?;
            let current: Option<i64> = row.try_get("out_current")?;
            let value: Option<String> = row.try_get("out_value")?;
            if let Some(revision) = revision {
                return Ok(Outcome::Applied {
                    revision: from_db(revision),
                    stored: value,
                });
            }
            let found = current.map(from_db).zip(value);
            Ok(match guard {
                Some(nth) => Outcome::Guard(usize::try_from(nth).unwrap_or_default(), found),
                None => Outcome::Conflict(found),
            })
        })
        .collect()
}

/// What the log has of a batch: per write, whether and how it was applied. `None`: the batch is
/// not there.
pub(crate) async fn find(
    connection: &mut PgConnection,
    id: i64,
    before: u64,
    batch: &[&Prepared],
) -> Result<Option<Vec<Option<Outcome>>>, Error> {
    let rows = sqlx::query(
        "select revision, resource, namespace, name, value::text as value
         from object_log where revision > $1 and batch = $2",
    )
    .bind(to_db(before))
    .bind(id)
    .fetch_all(connection)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut found = HashMap::new();
    for row in &rows {
        let key = Key::new(
            row.try_get::<&str, _>("resource")?,
            row.try_get::<&str, _>("namespace")?,
            row.try_get::<&str, _>("name")?,
        );
        let revision = from_db(row.try_get("revision")?);
        found.insert(
            key,
            Outcome::Applied {
                revision,
                stored: Some(row.try_get("value")?),
            },
        );
    }
    Ok(Some(
        batch.iter().map(|write| found.remove(&write.key)).collect(),
    ))
}
