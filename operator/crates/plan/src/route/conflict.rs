//! Which Route gets a host name and match that several want: the oldest, then the first by
//! namespace and name. Within one Route the first rule wins.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::attach::ObjectKey;
use super::rule::MatchKey;

/// One Route's wish for the requests of a key, ordered by who wins: the smallest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// Objects without a time are younger than all with one.
    pub created: Timestamp,
    pub route: ObjectKey,
    /// Position of the rule, then of the match.
    pub position: (usize, usize),
}

/// The winner of every key.
pub(crate) fn winners<'a>(
    claims: impl IntoIterator<Item = (&'a MatchKey, &'a Claim)>,
) -> BTreeMap<&'a MatchKey, &'a Claim> {
    let mut winners: BTreeMap<&MatchKey, &Claim> = BTreeMap::new();
    for (key, claim) in claims {
        winners
            .entry(key)
            .and_modify(|winner| *winner = (*winner).min(claim))
            .or_insert(claim);
    }
    winners
}
