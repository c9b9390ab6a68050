//! Conditions: `lastTransitionTime` moves only with `status`, so that a status that says the same
//! again is equal and nothing is written (T14).

use api_types::conditions::{Condition, Time, status};
use jiff::Timestamp;

/// Collects the conditions of one object.
#[derive(Debug)]
pub(crate) struct Conditions<'a> {
    previous: &'a [Condition],
    generation: i64,
    now: Timestamp,
    set: Vec<Condition>,
}

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    True,
    False,
    Unknown,
}

impl From<bool> for Is {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl<'a> Conditions<'a> {
    /// Starts from the conditions that the object has now.
    pub(crate) fn new(previous: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self {
            previous,
            generation,
            now,
            set: Vec::new(),
        }
    }

    /// Says it; what was said of the type before is replaced.
    pub(crate) fn set(
        &mut self,
        type_: &str,
        is: impl Into<Is>,
        reason: &str,
        message: impl Into<String>,
    ) {
        let value = match is.into() {
            Is::True => status::TRUE,
            Is::False => status::FALSE,
            Is::Unknown => status::UNKNOWN,
        };
        let last_transition_time = find(self.previous, type_)
            .filter(|before| before.status == value)
            .map_or_else(
                || Time(self.now),
                |before| before.last_transition_time.clone(),
            );
        self.set.retain(|condition| condition.type_ != type_);
        self.set.push(Condition {
            type_: type_.to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            observed_generation: Some(self.generation),
            last_transition_time,
        });
    }

    /// All that was said, in the order in which it was said first.
    pub(crate) fn finish(self) -> Vec<Condition> {
        self.set
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Does the condition hold?
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == status::TRUE)
}

/// Do two sets of conditions say the same? Times and order do not count.
pub fn equal_ignoring_times(left: &[Condition], right: &[Condition]) -> bool {
    let same = |a: &Condition, b: &Condition| {
        (
            &a.type_,
            &a.status,
            &a.reason,
            &a.message,
            a.observed_generation,
        ) == (
            &b.type_,
            &b.status,
            &b.reason,
            &b.message,
            b.observed_generation,
        )
    };
    left.len() == right.len() && left.iter().all(|a| right.iter().any(|b| same(a, b)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut first = Conditions::new(&[], 1, at(10));
        first.set("Ready", false, "Progressing", "0 of 1");
        first.set("Stalled", false, "Progressing", "");
        let first = first.finish();
        let mut second = Conditions::new(&first, 2, at(20));
        second.set("Ready", false, "CrashLoop", "it ends");
        second.set("Stalled", true, "CrashLoop", "it ends");
        let second = second.finish();
        assert_eq!(
            find(&second, "Ready").unwrap().last_transition_time,
            Time(at(10))
        );
        assert_eq!(find(&second, "Ready").unwrap().observed_generation, Some(2));
        assert_eq!(
            find(&second, "Stalled").unwrap().last_transition_time,
            Time(at(20))
        );
        assert!(is_true(&second, "Stalled") && !is_true(&second, "Ready"));
        assert!(!equal_ignoring_times(&first, &second));
        let mut later = second.clone();
        later[0].last_transition_time = Time(at(99));
        later.reverse();
        assert!(equal_ignoring_times(&later, &second));
    }

    #[test]
    fn the_last_word_on_a_type_counts() {
        let mut conditions = Conditions::new(&[], 1, Timestamp::UNIX_EPOCH);
        conditions.set("Ready", true, "Ready", "");
        conditions.set("Ready", Is::Unknown, "SwarmUnreachable", "no manager");
        let conditions = conditions.finish();
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].status, "Unknown");
    }
}
