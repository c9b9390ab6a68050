//! What a namespace allows of the objects in it: `ResourceQuota` bounds their sum, `LimitRange`
//! each of them.
//!
//! A quota is exact, not eventually right. The sums are kept in `status.used` of the quota, and a
//! write that changes a sum replaces the quota in its own transaction, at the revision that the sum
//! was taken from. Of two such writes at the same time, in one process or in two, one has to look
//! again. Who makes a quota, or changes what it counts, touches the namespace in the same
//! transaction; since every write that changes a sum is guarded by the namespace's revision, no
//! process can write past a quota that it has not heard of. Where there is no quota, that guard
//! (which creations need anyway) is all there is to it.

mod amount;
pub(crate) mod limits;
pub(crate) mod quota;
mod sums;
mod usage;

pub(crate) use amount::Amount;
pub(crate) use limits::Limits;
pub(crate) use sums::run;
