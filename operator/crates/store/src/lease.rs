//! Who leads: a row with a holder, an epoch and an end, by the database's clock.
//!
//! A lease alone is no fence: a holder that was paused may wake after its end. So the epoch rises
//! whenever it is taken, and what the holder writes to Postgres checks the epoch in the same
//! transaction ([`Epoch`]). The holder itself stops acting at two thirds of the lease, by its
//! monotonic clock, counted from before it asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row};

use crate::error::Error;
use crate::store::Store;

/// Proof of leadership, checked by whoever receives a leader's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Name of the lease.
    pub lease: Arc<str>,
    /// Rises whenever the lease is taken.
    pub number: u64,
}

/// A lease that is held.
#[derive(Clone, Debug)]
pub struct Lease {
    epoch: Epoch,
    holder: Arc<str>,
    ttl: Duration,
    act_until: Instant,
}

/// What came of asking for a lease.
#[derive(Clone, Debug)]
pub enum LeaseOutcome {
    /// We hold it.
    Held(Lease),
    /// Somebody else does.
    Taken {
        /// Who.
        holder: String,
        /// Their epoch.
        epoch: u64,
        /// When it ends unless renewed.
        remaining: Duration,
    },
}

impl Lease {
    /// What to send along with writes.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Until when the holder may act; renew well before, for example at half of it.
    pub fn act_until(&self) -> Instant {
        self.act_until
    }

    /// May the holder act now?
    pub fn may_act(&self) -> bool {
        Instant::now() < self.act_until
    }
}

fn act_until(asked: Instant, ttl: Duration) -> Instant {
    asked + ttl * 2 / 3
}

impl Store {
    /// Takes the lease if it is free, over, or already the holder's: a process that was restarted
    /// need not wait for its own end. Each time a new epoch begins, so that of two processes that
    /// go by one name, the first learns at its next renewal that it leads no more.
    ///
    /// # Errors
    /// `Unavailable` or `Database`; whether the lease was taken is then unknown, and asking again
    /// tells.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<LeaseOutcome, Error> {
        let asked = Instant::now();
        let taken: Option<i64> = sqlx::query_scalar(
            "insert into leases as l (name, holder, epoch, expires_at)
             values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
             on conflict (name) do update
             set holder = excluded.holder, expires_at = excluded.expires_at,
                 epoch = l.epoch + 1
             where l.holder = excluded.holder or l.expires_at <= clock_timestamp()
             returning epoch",
        )
        .bind(name)
        .bind(holder)
        .bind(ttl.as_secs_f64())
        .fetch_optional(self.urgent())
        .await?;
        if let Some(epoch) = taken {
            return Ok(LeaseOutcome::Held(Lease {
                epoch: Epoch {
                    lease: name.into(),
                    number: epoch.unsigned_abs(),
                },
                holder: holder.into(),
                ttl,
                act_until: act_until(asked, ttl),
            }));
        }
        let row = sqlx::query(
            "select holder, epoch,
                 greatest(extract(epoch from expires_at - clock_timestamp()), 0)::float8 as remaining
             from leases where name = $1",
        )
        .bind(name)
        .fetch_one(self.urgent())
        .await?;
        Ok(LeaseOutcome::Taken {
            holder: row.try_get("holder")?,
            epoch: row.try_get::<i64, _>("epoch")?.unsigned_abs(),
            remaining: Duration::try_from_secs_f64(row.try_get("remaining")?).unwrap_or_default(),
        })
    }

    /// Holds the lease for another term. False where somebody else took it: the epoch is over.
    ///
    /// # Errors
    /// `Unavailable` or `Database`: not renewed as far as known; the term goes on to its end.
    pub async fn renew_lease(&self, lease: &mut Lease) -> Result<bool, Error> {
        let asked = Instant::now();
        let renewed = sqlx::query(
            "update leases set expires_at = clock_timestamp() + make_interval(secs => $4)
             where name = $1 and holder = $2 and epoch = $3",
        )
        .bind(&*lease.epoch.lease)
        .bind(&*lease.holder)
        .bind(crate::db::to_db(lease.epoch.number))
        .bind(lease.ttl.as_secs_f64())
        .execute(self.urgent())
        .await?
        .rows_affected()
            == 1;
        if renewed {
            lease.act_until = act_until(asked, lease.ttl);
        }
        Ok(renewed)
    }

    /// Gives the lease up, so that another process need not wait for its end.
    ///
    /// # Errors
    /// `Unavailable` or `Database`: it ends by itself.
    pub async fn release_lease(&self, lease: Lease) -> Result<(), Error> {
        sqlx::query(
            "update leases set holder = '', expires_at = clock_timestamp()
             where name = $1 and holder = $2 and epoch = $3",
        )
        .bind(&*lease.epoch.lease)
        .bind(&*lease.holder)
        .bind(crate::db::to_db(lease.epoch.number))
        .execute(self.urgent())
        .await?;
        Ok(())
    }
}

/// Is the epoch the current one? Nobody can take the lease over before this transaction ends.
pub(crate) async fn holds_in_txn(
    transaction: &mut PgConnection,
    epoch: &Epoch,
) -> Result<bool, sqlx::Error> {
    let current = sqlx::query_scalar::<_, i64>(
        "select epoch from leases where name = $1 and epoch = $2 for share",
    )
    .bind(&*epoch.lease)
    .bind(crate::db::to_db(epoch.number))
    .fetch_optional(transaction)
    .await?;
    Ok(current.is_some())
}
