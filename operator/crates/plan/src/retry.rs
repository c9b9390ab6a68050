//! How long to wait after a failure (T21): a function of what failed and how often.

use std::time::Duration;

/// First delay of the back-off.
const FIRST: Duration = Duration::from_secs(1);
/// Longest delay of the back-off.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest delay while something that everybody needs is gone: nothing tells that it is back.
const LONGEST_UNAVAILABLE: Duration = Duration::from_secs(15);
/// Share of a delay by which it is moved up or down, in percent.
const JITTER_PERCENT: u64 = 20;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The object itself is refused: nothing changes until somebody changes it.
    Invalid,
    /// The world moved while we planned: observe and plan again.
    Conflict,
    /// It may work the next time.
    Transient,
    /// Something that everybody needs is gone (Swarm, API server).
    Unavailable,
    /// We did something wrong; repeated with back-off and worth a person's look.
    Bug,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// When the object or something it refers to changes.
    OnChange,
    /// At once.
    Now,
    /// After this time.
    After(Duration),
}

/// When to try again after the `attempts`-th failure in a row (from 1). `seed` spreads objects
/// over time: a hash of the object's name and the attempt will do.
pub fn retry(class: Class, attempts: u32, seed: u64) -> Retry {
    match class {
        Class::Invalid => Retry::OnChange,
        // The third conflict in a row is somebody else's loop: do not spin with it.
        Class::Conflict if attempts <= 2 => Retry::Now,
        Class::Unavailable => {
            Retry::After(jittered(backoff(attempts).min(LONGEST_UNAVAILABLE), seed))
        }
        Class::Conflict | Class::Transient | Class::Bug => {
            Retry::After(jittered(backoff(attempts), seed))
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// `delay` moved by up to the jitter either way; the same seed gives the same result.
pub fn jittered(delay: Duration, seed: u64) -> Duration {
    let width = 2 * JITTER_PERCENT + 1;
    // A multiplicative hash spreads small seeds over the whole range.
    let percent = 100 - JITTER_PERCENT + (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % width;
    let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.saturating_mul(percent) / 100)
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        for (class, longest) in [
            (Class::Transient, 300),
            (Class::Unavailable, 15),
            (Class::Bug, 300),
        ] {
            for (attempts, seconds) in [
                (1, 1),
                (2, 2),
                (3, 4),
                (9, 256),
                (10, 300),
                (1000, 300),
                (u32::MAX, 300),
            ] {
                let Retry::After(delay) = retry(class, attempts, 7) else {
                    panic!("{class:?} must be retried")
                };
                let seconds = longest.min(seconds);
                let (low, high) = (seconds * 800, seconds * 1200);
                assert!(
                    (low..=high).contains(&delay.as_millis()),
                    "{class:?} {attempts}: {delay:?}"
                );
            }
        }
    }

    #[test]
    fn objects_are_spread_and_the_invalid_waits_for_a_change() {
        let delays: std::collections::BTreeSet<_> =
            (0..50).map(|seed| jittered(LONGEST, seed)).collect();
        assert!(delays.len() > 15, "only {} different delays", delays.len());
        assert_eq!(retry(Class::Invalid, 1, 0), Retry::OnChange);
        assert_eq!(retry(Class::Conflict, 1, 0), Retry::Now);
        assert!(matches!(retry(Class::Conflict, 3, 0), Retry::After(_)));
    }
}
