//! Why the store could not do something.

use std::sync::Arc;

use crate::object::Object;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The key is not in the expected state; `current` is what is there now.
    #[error("the object is not in the expected state")]
    Conflict {
        /// The object as it is now, if there is one.
        current: Option<Arc<Object>>,
    },
    /// A guard (by its position in [`Write::guards`](crate::Write::guards)) does not hold.
    #[error("guard {0} does not hold")]
    Guard(usize),
    /// Not all objects that were to be replaced together with the write are at the expected
    /// revision; `current` is what is there now, one for each of them.
    #[error("an object beside the write is not at the expected revision")]
    Replace {
        /// The objects as they are now, where there are any.
        current: Vec<Option<Arc<Object>>>,
    },
    /// Postgres did not answer or refused; whether the write happened may be unknown (the text
    /// says so then).
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why the store could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Postgres is not reachable.
    #[error("Postgres is not reachable: {0}")]
    Unavailable(String),
    /// The revision is no longer in the history.
    #[error("revision {requested} is compacted (oldest is {oldest})")]
    Compacted {
        /// What was asked for.
        requested: u64,
        /// Oldest revision in the history.
        oldest: u64,
    },
    /// The revision is ahead of the store.
    #[error("revision {requested} is ahead of the current revision {current}")]
    Future {
        /// What was asked for.
        requested: u64,
        /// Newest revision.
        current: u64,
    },
    /// A statement failed in a way that is not the network's fault, or could not be made from
    /// what was asked.
    #[error("Postgres: {0}")]
    Database(String),
}

/// SQLSTATE classes and codes that say "not now" rather than "never": connection exceptions,
/// operator intervention (shutdown, recovery, cancelled by statement_timeout), too many
/// connections, a server that became read-only, a lock not got within lock_timeout.
const NOT_NOW: [&str; 5] = ["08", "57", "53", "25006", "55P03"];

/// Of those, the ones that mean that the statement was rolled back for certain: also a full disk or memory.
const ROLLED_BACK: [&str; 4] = ["57014", "53", "55P03", "25006"];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                if NOT_NOW.iter().any(|prefix| code.starts_with(prefix)) {
                    Self::Unavailable(error.to_string())
                } else {
                    Self::Database(error.to_string())
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

/// Is it certain that the failed statement changed nothing?
pub(crate) fn is_rolled_back(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            let is_one_of = |codes: &[&str]| codes.iter().any(|prefix| code.starts_with(prefix));
            is_one_of(&ROLLED_BACK) || !is_one_of(&NOT_NOW)
        }
        _ => false,
    }
}
